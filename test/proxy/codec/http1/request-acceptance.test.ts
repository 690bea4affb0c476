/** What a server must accept, and what it must make of it: whole, byte by byte and in random pieces. */

import { describe, expect, test } from "bun:test";
import type { RequestHead } from "../../../../src/proxy/codec/message.ts";
import { seededRandom } from "../../../support/random.ts";
import { answer, feed, serverUnderTest } from "./recorder.ts";

const DEFAULTS: RequestHead = {
  method: "GET",
  path: "/",
  authority: "a",
  scheme: "http",
  absoluteForm: false,
  upgrade: undefined,
  expectContinue: false,
  headers: [],
  contentLength: 0,
  version: "1.1",
};

interface Expected {
  readonly head?: Partial<RequestHead>;
  readonly body?: string;
  readonly trailers?: string[];
}
type Row = readonly [name: string, input: string, expected: Expected];

function get(lines: string): string {
  return `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
}
function host(value: string): string {
  return `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`;
}
function target(text: string, method = "GET"): string {
  return `${method} ${text} HTTP/1.1\r\nHost: a\r\n\r\n`;
}
function chunked(body: string): string {
  return `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
}
const IN_CHUNKS = { method: "POST", contentLength: undefined };

const HEADS: Row[] = [
  ["the smallest request", get(""), {}],
  ["one empty line first", `\r\n${get("")}`, {}],
  ["another method", target("/", "PROPFIND"), { head: { method: "PROPFIND" } }],
  ["a higher minor version is read as ours", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", { head: { version: "1.1" } }],
  ["methods tell case apart", target("/", "get"), { head: { method: "get" } }],
  ["path and query as they are", target("/a/../%2e/b//?x=1&y=%20?z"), { head: { path: "/a/../%2e/b//?x=1&y=%20?z" } }],
  ["a path that looks like an authority", target("//b/c"), { head: { path: "//b/c" } }],
  ["asterisk-form", target("*", "OPTIONS"), { head: { method: "OPTIONS", path: "*" } }],
  [
    "absolute-form wins over Host",
    target("http://B:8080/x?y"),
    { head: { authority: "b:8080", path: "/x?y", absoluteForm: true } },
  ],
  [
    "absolute-form, https",
    target("HTTPS://b/x"),
    { head: { authority: "b", path: "/x", scheme: "https", absoluteForm: true } },
  ],
  ["absolute-form without a path", target("http://b"), { head: { authority: "b", absoluteForm: true } }],
  [
    "absolute-form with a query only",
    target("http://b?x"),
    { head: { authority: "b", path: "/?x", absoluteForm: true } },
  ],
  [
    "absolute-form of the server as a whole",
    target("http://b", "OPTIONS"),
    { head: { method: "OPTIONS", authority: "b", path: "*", absoluteForm: true } },
  ],
  ["Host in capitals", host("Orders.SHOP:8080"), { head: { authority: "orders.shop:8080" } }],
  ["Host within white space", host(" \t a \t "), {}],
  ["Host with an underscore", host("my_svc.shop"), { head: { authority: "my_svc.shop" } }],
  ["Host with a port", host("a:65535"), { head: { authority: "a:65535" } }],
  ["Host as an IPv4 address", host("127.0.0.1:80"), { head: { authority: "127.0.0.1:80" } }],
  ["Host as an IPv6 address", host("[::1]:80"), { head: { authority: "[::1]:80" } }],
  ["Host as an IPv6 address, no port", host("[2001:DB8::1]"), { head: { authority: "[2001:db8::1]" } }],
  [
    "names in lower case, values as they are",
    get("X-Y: A b\r\nUser-AGENT: c\r\n"),
    { head: { headers: ["x-y", "A b", "user-agent", "c"] } },
  ],
  [
    "white space around values",
    get("X: \t a b\t \r\nY:c\r\nZ:\r\nW: \r\n"),
    { head: { headers: ["x", "a b", "y", "c", "z", "", "w", ""] } },
  ],
  ["obs-text in values", get("X: \x80\xff\r\n"), { head: { headers: ["x", "\x80\xff"] } }],
  ["every tchar in a name", get("!#$%&'*+-.^_`|~09azAZ: 1\r\n"), { head: { headers: ["!#$%&'*+-.^_`|~09azaz", "1"] } }],
  ["colons in a value", get("X:: a:b\r\n"), { head: { headers: ["x", ": a:b"] } }],
  [
    "repetition and order are kept",
    get("B: 1\r\nA: 2\r\nB: 3\r\n"),
    { head: { headers: ["b", "1", "a", "2", "b", "3"] } },
  ],
  [
    "a hundred fields",
    get("X: 1\r\n".repeat(99)),
    { head: { headers: Array.from({ length: 99 }, () => ["x", "1"]).flat() } },
  ],
  ["a length of nothing", get("Content-Length: 0\r\n"), { head: { headers: ["content-length", "0"] } }],
];

const HOP_BY_HOP: Row[] = [
  ["keep-alive", get("Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n"), {}],
  [
    "what Connection names goes",
    get("X-A: 1\r\nConnection: x-a , X-B,,\r\nX-B: 2\r\nX-C: 3\r\n"),
    { head: { headers: ["x-c", "3"] } },
  ],
  [
    "but not what others rely upon",
    get("Authorization: t\r\nX-Forwarded-For: 1\r\nConnection: authorization, x-forwarded-for, host\r\n"),
    { head: { headers: ["authorization", "t", "x-forwarded-for", "1"] } },
  ],
  [
    "nor the length",
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok",
    { head: { method: "POST", contentLength: 2, headers: ["content-length", "2"] }, body: "ok" },
  ],
  ["te: trailers stays", get("TE: gzip, Trailers\r\nConnection: TE\r\n"), { head: { headers: ["te", "trailers"] } }],
  ["another te goes", get("TE: gzip\r\nConnection: TE\r\n"), {}],
  ["Upgrade that Connection does not confirm", get("Upgrade: websocket\r\n"), {}],
  [
    "Upgrade to h2c is not passed on",
    get("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n"),
    {},
  ],
  [
    "Upgrade of what extended CONNECT cannot carry: a method",
    "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: tcp\r\nConnection: upgrade\r\n\r\n",
    { head: { method: "POST" } },
  ],
  [
    "Upgrade of what extended CONNECT cannot carry: content",
    `${get("Upgrade: tcp\r\nConnection: upgrade\r\nContent-Length: 2\r\n")}ok`,
    { head: { contentLength: 2, headers: ["content-length", "2"] }, body: "ok" },
  ],
  ["Upgrade to two versions at once", get("Upgrade: a/1/2\r\nConnection: upgrade\r\n"), {}],
  ["Upgrade that is no protocol", get("Upgrade: a b\r\nConnection: upgrade\r\n"), {}],
  [
    "Expect under HTTP/1.0 means nothing",
    "GET / HTTP/1.0\r\nHost: a\r\nExpect: x\r\n\r\n",
    { head: { version: "1.0" } },
  ],
  ["HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", { head: { version: "1.0", authority: "" } }],
];

const BODIES: Row[] = [
  [
    "a length",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    { head: { method: "POST", contentLength: 5, headers: ["content-length", "5"] }, body: "hello" },
  ],
  [
    "a length within white space, with zeros",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \t 005 \t\r\n\r\nhello",
    { head: { method: "POST", contentLength: 5, headers: ["content-length", "005"] }, body: "hello" },
  ],
  [
    "a GET with content",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n",
    { head: { contentLength: 2, headers: ["content-length", "2"] }, body: "\r\n" },
  ],
  ["chunks", chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), { head: IN_CHUNKS, body: "hello world" }],
  [
    "Chunked in other case",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tChUnKeD \r\n\r\n1\r\nx\r\n0\r\n\r\n",
    { head: IN_CHUNKS, body: "x" },
  ],
  ["no chunks", chunked("0\r\n\r\n"), { head: IN_CHUNKS }],
  [
    "sizes with leading zeros, in either case",
    chunked(`00A\r\n0123456789\r\n000000000001a\r\n${"x".repeat(26)}\r\n000\r\n\r\n`),
    { head: IN_CHUNKS, body: `0123456789${"x".repeat(26)}` },
  ],
  [
    "extensions are skipped",
    chunked('5;a=b;c="d e\xff";\thello\r\nhello\r\n0;last\r\n\r\n'),
    { head: IN_CHUNKS, body: "hello" },
  ],
  [
    "data that looks like chunks",
    chunked("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    { head: IN_CHUNKS, body: "\r\n0\r\n\r\n" },
  ],
  [
    "trailers",
    chunked("1\r\nx\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n"),
    { head: IN_CHUNKS, body: "x", trailers: ["x-sum", "1", "y", "2"] },
  ],
  ["trailers without data", chunked("0\r\nX-Sum: 1\r\n\r\n"), { head: IN_CHUNKS, trailers: ["x-sum", "1"] }],
  [
    "trailers that may not be there are dropped",
    chunked(
      "0\r\nContent-Length: 9\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\nHost: b\r\nAuthorization: t\r\nX-Forwarded-For: 1\r\nConnection: close\r\nX: 1\r\n\r\n",
    ),
    { head: IN_CHUNKS, trailers: ["x", "1"] },
  ],
  ["nothing but such trailers", chunked("0\r\nHost: b\r\nTrailer: x\r\n\r\n"), { head: IN_CHUNKS }],
];

describe.each([
  ["heads", HEADS],
  ["hop-by-hop fields", HOP_BY_HOP],
  ["bodies", BODIES],
] as [string, Row[]][])("%s", (_, rows) => {
  test.each(rows.map((row) => [...row] as [string, string, Expected]))("%s", (_name, input, expected) => {
    const message = {
      head: { ...DEFAULTS, ...expected.head },
      body: expected.body ?? "",
      trailers: expected.trailers,
      ended: true,
    };
    const random = seededRandom(input.length);
    const cuts = [
      () => input.length * 2,
      () => 1,
      ...Array.from({ length: 8 }, () => () => 1 + Math.floor(random() * 30)),
    ];
    for (const cut of cuts) {
      const { connection, output, requests } = serverUnderTest(answer);
      feed(connection, input, cut);
      expect(requests.map(({ head, body, trailers, ended }) => ({ head, body, trailers, ended }))).toEqual([message]);
      expect(output.text).toStartWith("HTTP/1.1 200 OK\r\n");
      const persistent = message.head.version === "1.1";
      expect(output.fate).toBe(persistent ? "open" : "ended");
      expect(output.reading).toBe(true);
    }
    // Twice in one packet: the end of the first must be found to the byte.
    const { connection, requests } = serverUnderTest(answer);
    feed(connection, input + input);
    expect(requests).toHaveLength(message.head.version === "1.1" ? 2 : 1);
    for (const request of requests) expect(request.head).toEqual(message.head);
  });
});
