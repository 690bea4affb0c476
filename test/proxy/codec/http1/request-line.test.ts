import { expect, test } from "bun:test";
import { isHttp1Request } from "../../../../src/proxy/codec/http1/request-line.ts";

test.each([
  ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "yes"],
  ["GET http://x/ HTTP/1.0\n", "yes"],
  ["OPTIONS * HTTP/1.1\r\n", "yes"],
  ["CONNECT x:443 HTTP/1.1\r\n", "yes"],
  ["M-SEARCH * HTTP/1.1\r\n", "yes"],
  // Broken, and HTTP all the same: the parser refuses it, and nothing carries it past the rules.
  ["GET /a b HTTP/1.1\r\n", "yes"],
  [`GET /${"a".repeat(20_000)}`, "yes"],
  ["GET / HTTP/2.0\r\n", "no"],
  ["PING\r\n", "no"],
  ["SET a b\r\n", "no"],
  ["EHLO there\r\n", "no"],
  ["get / HTTP/1.1\r\n", "no"],
  ["\x16\x03\x01\x02\x00", "no"],
  ["*1\r\n$4\r\nPING\r\n", "no"],
  ["\0\0\0\x08", "no"],
  ["\n", "no"],
  [`${"A".repeat(40)}`, "no"],
  ["", "more"],
  ["G", "more"],
  ["GET ", "more"],
  ["GET / HTTP/1.1\r", "more"],
] as const)("%j: %s", (text, expected) => {
  expect(isHttp1Request(Buffer.from(text, "latin1"))).toBe(expected);
});

test("a request that comes byte by byte is never taken for something else on the way", () => {
  const text = "POST /a?b=c HTTP/1.1\r\n";
  for (let length = 0; length < text.length; length++) {
    expect(isHttp1Request(Buffer.from(text.slice(0, length)))).toBe("more");
  }
  expect(isHttp1Request(Buffer.from(text))).toBe("yes");
});
