/**
 * Requests that two readings could take for two: whatever web's sidecar makes of them, the application behind the second
 * hop never sees the one that is hidden inside.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

const HIDDEN = "GET /hidden HTTP/1.1\r\nhost: catalog\r\n\r\n";
const CHUNKED_HIDDEN = `0\r\n\r\n${HIDDEN}`;

/** Fields that say, or may be taken to say, where the body ends; each is combined with a length that covers all. */
const CODINGS = [
  "transfer-encoding: chunked",
  "Transfer-Encoding : chunked",
  "transfer-encoding:\tchunked",
  "transfer-encoding: \x0bchunked",
  "transfer-encoding: chunked\x00",
  "transfer-encoding: xchunked",
  "transfer-encoding: chunked, identity",
  "transfer-encoding: identity, chunked",
  "transfer-encoding: chunked, chunked",
  "transfer-encoding: gzip, chunked",
  'transfer-encoding: "chunked"',
  "transfer-encoding:\r\n chunked",
  "transfer-encoding\r\n : chunked",
  " transfer-encoding: chunked",
  "x: y\ntransfer-encoding: chunked",
  "x: y\rtransfer-encoding: chunked",
  "transfer_encoding: chunked",
  "transfer-encoding: chunked\r\ntransfer-encoding: identity",
  "transfer-encoding: identity\r\ntransfer-encoding: chunked",
  "connection: content-length",
  "connection: transfer-encoding\r\ntransfer-encoding: chunked",
  "te: chunked",
  "x-transfer-encoding: chunked",
];

const LENGTHS = [
  "0",
  "00",
  "+0",
  "-0",
  "0x0",
  "0,0",
  "0, 5",
  " 5",
  "5 ",
  "5;",
  "5\x0b",
  "",
  "1e1",
  "18446744073709551616",
];

/** Bodies in chunks whose sizes are no sizes, or whose ends are no ends. */
const CHUNKS = [
  "0x5\r\nhello\r\n",
  "5 \r\nhello\r\n",
  "+5\r\nhello\r\n",
  "5\nhello\r\n",
  "5\r\nhello",
  "5\r\nhelloX\r\n",
  "5\r\nhello\r\n0\r\nx\r\n",
  "5;\x00\r\nhello\r\n",
  "5;a\nb\r\nhello\r\n",
  "ffffffffffffffff5\r\nhello\r\n",
  "-1\r\n",
  "\r\n5\r\nhello\r\n",
  "0\r\n\n",
  "0\n\n",
  "0\r\n\r",
];

const START_LINES = [
  "GET / HTTP/1.1\r\n\thost: catalog",
  "GET  / HTTP/1.1",
  "GET / HTTP/1.1 ",
  "GET / HTTP/1.10",
  "GET / HTTP/2.0",
  "GET / http/1.1",
  "GET / HTTP/1.1\r",
  "GET /\r\nx HTTP/1.1",
  "GET / HTTP/1.1\x00",
  "G\x00T / HTTP/1.1",
  "GET\t/ HTTP/1.1",
  "GET /\x00 HTTP/1.1",
  "GET /%00 HTTP/1.1",
  "GET / ",
  "GET /",
  "\r\n\r\nGET / HTTP/1.1",
];

const requests: [name: string, bytes: string][] = [];
const add = (name: string, bytes: string): number => requests.push([JSON.stringify(name), bytes]);
const post = (fields: string, body: string): string =>
  `POST /outer HTTP/1.1\r\nhost: catalog\r\n${fields}\r\n\r\n${body}`;
for (const coding of CODINGS) {
  add(`${coding} after a length`, post(`content-length: ${CHUNKED_HIDDEN.length}\r\n${coding}`, CHUNKED_HIDDEN));
  add(`${coding} before a length`, post(`${coding}\r\ncontent-length: ${CHUNKED_HIDDEN.length}`, CHUNKED_HIDDEN));
}
for (const length of LENGTHS) {
  add(`length ${length} before another`, post(`content-length: ${length}\r\ncontent-length: ${HIDDEN.length}`, HIDDEN));
  add(`length ${length} after another`, post(`content-length: ${HIDDEN.length}\r\ncontent-length: ${length}`, HIDDEN));
  if (!["0", "00"].includes(length)) add(`length ${length} alone`, post(`content-length: ${length}`, HIDDEN));
}
for (const chunk of CHUNKS) add(`chunk ${chunk}`, post("transfer-encoding: chunked", `${chunk}${HIDDEN}`));
for (const line of START_LINES) {
  add(`start line ${line}`, `${line}\r\nhost: catalog\r\ncontent-length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`);
}
add(
  "HTTP/1.0 with a coding",
  `POST /outer HTTP/1.0\r\nhost: catalog\r\ntransfer-encoding: chunked\r\n\r\n${CHUNKED_HIDDEN}`,
);
add("body of GET", `GET /outer HTTP/1.1\r\nhost: catalog\r\ncontent-length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`);
add("body of HEAD", `HEAD /outer HTTP/1.1\r\nhost: catalog\r\ncontent-length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`);
add(
  "declined upgrade",
  `GET /refuse HTTP/1.1\r\nhost: catalog\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n${HIDDEN}`,
);
add("expectation refused", post(`expect: 100-continue\r\ncontent-length: ${HIDDEN.length}`, HIDDEN));
add("early answer", `POST /early HTTP/1.1\r\nhost: catalog\r\ncontent-length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`);

test(`none of ${requests.length} requests becomes two`, async () => {
  expect(requests.length).toBeGreaterThan(100);
  for (let at = 0; at < requests.length; at += 8) {
    await Promise.all(requests.slice(at, at + 8).map(([name, bytes]) => attempt(name, bytes)));
  }
  expect((await hops.call("/sound")).status).toBe(200);
}, 30_000);

async function attempt(name: string, bytes: string): Promise<void> {
  const client = await hops.connect();
  client.send(bytes);
  // Either an answer comes, or the connection ends, or the request is incomplete and more is waited for.
  await client.until(/\r\n\r\n/, 300).catch(() => undefined);
  // What is hidden would be read after the answer.
  await client.untilEnded(60).catch(() => undefined);
  client.close();
  const { seen } = await hops.app.seen();
  expect(
    seen.filter((line) => line.includes("/hidden")),
    `${name} was answered ${client.text}`,
  ).toEqual([]);
}

test("the hidden request would be seen, were it sent: the test can fail", async () => {
  const client = await hops.connect();
  client.send(HIDDEN);
  await client.until('"url":"/hidden"');
  client.close();
  await eventually(async () => expect((await hops.app.seen()).seen).toContain("GET /hidden"));
});
