/**
 * Damaged messages by the thousand: neither side may throw, hang, keep more than its bounds, or read them differently
 * when they are cut differently.
 */

import { expect, test } from "bun:test";
import type { ResponseHead } from "../../../../src/proxy/codec/message.ts";
import { fuzz } from "../../../support/fuzz.ts";
import { seededRandom } from "../../../support/random.ts";
import { answer, clientUnderTest, feed, RecordedMessage, requestHead, serverUnderTest } from "./recorder.ts";

const REQUESTS = [
  "GET /a?b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX: 1\r\n\r\n",
  "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
  "OPTIONS http://b:80 HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nX: 1\r\n\r\n",
];
const RESPONSES = [
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
  "HTTP/1.0 200 OK\r\n\r\nuntil the end",
];
const SPLINTERS = [
  "\r\n",
  "\r",
  "\n",
  " ",
  "\t",
  ":",
  "\0",
  ",",
  ";",
  "0",
  "f",
  "-",
  "\xff",
  "\r\n\r\n",
  "chunked",
  "Transfer-Encoding: chunked\r\n",
  "Content-Length: 3\r\n",
  "Host: b\r\n",
  "HTTP/1.1",
  "GET / ",
];

function pick<T>(random: () => number, from: readonly T[]): T {
  const picked = from[Math.floor(random() * from.length)];
  if (picked === undefined) throw new Error("nothing to pick from");
  return picked;
}

/** One to three whole messages, with up to four places damaged. */
function damaged(random: () => number, from: readonly string[]): string {
  let text = "";
  for (let count = 1 + random() * 3; count >= 1; count--) text += pick(random, from);
  for (let damage = random() * 5; damage >= 1; damage--) {
    const at = Math.floor(random() * text.length);
    const cut = random() < 0.6 ? Math.floor(random() * 4) : 0;
    text = text.slice(0, at) + (random() < 0.7 ? pick(random, SPLINTERS) : "") + text.slice(at + cut);
  }
  return text;
}

function serve(input: string, cut?: () => number): unknown {
  const { connection, output, requests } = serverUnderTest(answer);
  feed(connection, input, cut);
  const before = output.text;
  connection.receiveEnd();
  connection.receiveClose();
  expect(connection.openStreams).toBe(0);
  return {
    before,
    text: output.text,
    requests: requests.map(({ head, body, trailers, ended, fault }) => ({ head, body, trailers, ended, fault })),
  };
}

function ask(input: string, cut?: () => number): unknown {
  const { connection } = clientUnderTest();
  const response = new RecordedMessage<ResponseHead>();
  connection.open(response).sendHead(requestHead("GET", "/"), true);
  feed(connection, input, cut);
  connection.receiveEnd();
  connection.receiveClose();
  expect(connection.openStreams).toBe(0);
  expect(response.ended || response.fault !== undefined).toBe(true);
  const { head, informational, body, trailers, ended, fault } = response;
  // Of a body that is broken from its first byte, the head is only passed on where it had come alone.
  const broken = fault?.kind === "protocol-error" && body === "";
  return { head: broken ? undefined : head, informational, body, trailers, ended, fault };
}

test.each([
  ["requests", REQUESTS, serve],
  ["responses", RESPONSES, ask],
] as const)("damaged %s", (name, from, run) => {
  fuzz(`HTTP/1.1 ${name}`, (seed) => {
    const random = seededRandom(seed);
    const input = damaged(random, from);
    try {
      const whole = run(input);
      expect(run(input, () => 1)).toEqual(whole);
      expect(run(input, () => 1 + Math.floor(random() * 30))).toEqual(whole);
    } catch (cause) {
      throw new Error(JSON.stringify(input), { cause });
    }
  });
});
