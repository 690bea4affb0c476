import { ConnectionError, PROTOCOL_ERROR } from "./error.ts";

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

/** Takes the preface off the front of what a client sends. */
export class PrefaceReader {
  #read = 0;

  /** What follows the preface in `chunk`; undefined where the preface is over already. */
  take(chunk: Uint8Array): Uint8Array | undefined {
    const left = PREFACE.length - this.#read;
    if (left === 0) return undefined;
    const length = Math.min(chunk.length, left);
    for (let at = 0; at < length; at++) {
      if (chunk[at] !== PREFACE[this.#read + at]) throw new ConnectionError(PROTOCOL_ERROR, "preface_invalid");
    }
    this.#read += length;
    return chunk.subarray(length);
  }
}
