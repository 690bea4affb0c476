import type { HeaderList } from "../message.ts";
import type { HpackEncoder } from "./hpack/encoder.ts";

/** Encodes a list of fields; true when a content length was among them. */
export function writeHeaders(encoder: HpackEncoder, headers: HeaderList): boolean {
  let hasLength = false;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? "";
    hasLength ||= name === "content-length";
    encoder.field(name, headers[at + 1] ?? "");
  }
  return hasLength;
}
