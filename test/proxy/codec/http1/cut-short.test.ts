/** Responses that end before their time: whether what is good of them is sent, and how the client is told. */

import { expect, test } from "bun:test";
import { bytes, feed, responseHead, serverUnderTest } from "./recorder.ts";

const broken: [string, string, number | undefined, string, "ended" | "destroyed"][] = [
  ["with a length", "HTTP/1.1", 5, "ok", "ended"],
  ["in chunks", "HTTP/1.1", undefined, "2\r\nok\r\n", "ended"],
  ["with a length, to HTTP/1.0", "HTTP/1.0", 5, "ok", "ended"],
  // Here the end of the connection is the end of the body, and only a reset is none.
  ["without a length, to HTTP/1.0", "HTTP/1.0", undefined, "ok", "destroyed"],
];
test.each(broken)("a response %s that breaks off brings what is good of it", (_, version, length, text, fate) => {
  const { connection, output, requests } = serverUnderTest();
  feed(connection, `GET / ${version}\r\nHost: a\r\n\r\n`);
  const stream = requests[0]?.stream;
  stream?.sendHead(responseHead(200, [], length), false);
  stream?.sendData(bytes("ok"), false);
  stream?.reset({ kind: "peer-reset", detail: "test" });
  expect(output.text).toEndWith(`\r\n\r\n${text}`);
  expect(output.fate).toBe(fate);
});
