/** A client connection that has sent a request, for tests of what follows. */

import type { RequestHead, ResponseHead } from "../../../../src/proxy/codec/message.ts";
import { clientUnderTest, feed, RecordedMessage, requestHead } from "./recorder.ts";

/** A response that leaves the connection as it was. */
export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** A client that has sent `head`, after `before` exchanges were completed on the same connection. */
export function asked(head: RequestHead, before = 0, limits = {}) {
  const { connection, output } = clientUnderTest(limits);
  for (let at = 0; at < before; at++) {
    connection.open(new RecordedMessage<ResponseHead>()).sendHead(requestHead("GET", "/"), true);
    feed(connection, OK);
  }
  output.text = "";
  const response = new RecordedMessage<ResponseHead>();
  const stream = connection.open(response);
  stream.sendHead(head, head.contentLength === 0);
  return { connection, output, response, stream };
}

export const GET = requestHead("GET", "/");
export const HEAD = requestHead("HEAD", "/");
export const POST = requestHead("POST", "/", { contentLength: 4 });
