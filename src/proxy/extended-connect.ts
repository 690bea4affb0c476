/** Extended CONNECT, as everything behind the codec reads it. */

import type { RequestHead } from "./codec/message.ts";
import { headerValue } from "./headers.ts";

/**
 * Extended CONNECT (RFC 8441) is HTTP/2's way to say GET with `Upgrade`: rules are written for the latter, and
 * applications mostly know no other. The key of a WebSocket, which HTTP/2 leaves out, is made up where it is missing.
 */
export function takeExtendedConnect(head: RequestHead, protocol: string): void {
  head.method = "GET";
  head.contentLength = 0;
  if (protocol !== "websocket" || headerValue(head.headers, "sec-websocket-key") !== undefined) return;
  head.headers.push("sec-websocket-key", crypto.getRandomValues(Buffer.alloc(16)).toString("base64"));
}

/** RFC 9110 §15.3; to CONNECT, a switch to the other protocol. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}
