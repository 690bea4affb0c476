/** A server connection that has read a request, for tests of what follows. */

import { feed, type RecordedRequest, type ServerUnderTest, serverUnderTest } from "./recorder.ts";

/** A request's text; `lines` come after `Host`, each with its CRLF. */
export function request(line: string, lines = "", body = ""): string {
  return `${line}\r\nHost: a\r\n${lines}\r\n${body}`;
}

/** A server that has read `input`, and the request that came of it. */
export function given(input: string, limits = {}): ServerUnderTest & { first: RecordedRequest } {
  const server = serverUnderTest(undefined, limits);
  feed(server.connection, input);
  const first = server.requests[0];
  if (first === undefined) throw new Error("no request was read");
  return { ...server, first };
}
