import { DEFAULT_LIMITS } from "../../limits.ts";

/** A method, and what may be the rest of the line as it comes in (RFC 9112 §3); whether it is sound, the parser says. */
const BEGINNING = /^[A-Z][A-Z-]{0,31}(?: [\x20-\x7e]*\r?)?$/;
const VERSION = / HTTP\/1\.\d\r?$/;

/** A line that is longer is for the parser to refuse. */
const LINE_BYTES_MAX = DEFAULT_LIMITS.targetBytesMax;

/**
 * Whether a connection's first bytes are an HTTP/1 request: a whole request line is. `more`: they may yet become one;
 * ask again with all bytes so far.
 */
export function isHttp1Request(bytes: Uint8Array): "yes" | "no" | "more" {
  const end = bytes.indexOf(0x0a);
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, end < 0 ? bytes.length : end).toString("latin1");
  if (line !== "" && !BEGINNING.test(line)) return "no";
  if (end < 0) return line.length > LINE_BYTES_MAX ? "yes" : "more";
  return VERSION.test(line) ? "yes" : "no";
}
