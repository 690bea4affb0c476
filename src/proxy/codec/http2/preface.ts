/** The client connection preface (RFC 9113 §3.4): `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`. */
export const PREFACE: Uint8Array = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/**
 * Whether a connection's first bytes open HTTP/2 with prior knowledge. `more`: they may yet; ask again with all bytes
 * so far. The bytes stay for the connection, which reads the preface itself.
 */
export function isHttp2Preface(bytes: Uint8Array): "yes" | "no" | "more" {
  const length = Math.min(bytes.length, PREFACE.length);
  for (let at = 0; at < length; at++) if (bytes[at] !== PREFACE[at]) return "no";
  return length === PREFACE.length ? "yes" : "more";
}
