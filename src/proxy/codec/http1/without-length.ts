import type { ResponseHead } from "../message.ts";

/** RFC 9110 §8.6: a length in 1xx, 204 or a 2xx to CONNECT means nothing; passed on, it could come to mean something. */
export function withoutLength(head: ResponseHead): void {
  head.contentLength = undefined;
  const { headers } = head;
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] !== "content-length") continue;
    headers.splice(at, 2);
    return;
  }
}
