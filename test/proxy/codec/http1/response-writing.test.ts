/** How a server connection writes responses: how their bodies are framed, and what may come before them. */

import { describe, expect, test } from "bun:test";
import type { RequestHead } from "../../../../src/proxy/codec/message.ts";
import { given, request } from "./given-request.ts";
import { bytes, feed, type RecordedRequest, responseHead } from "./recorder.ts";

const GET = "GET / HTTP/1.1\r\nHost: orders.shop\r\n\r\n";

test.each([
  ["HTTP/1.1", ["trailer", "x-sum"], "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"],
  ["HTTP/1.1", [], "content-length: 2\r\n\r\nok"],
  ["HTTP/1.0", ["trailer", "x-sum"], "content-length: 2\r\nconnection: close\r\n\r\nok"],
])("to a client of %s, a response from HTTP/2 with a length and %p", (version, headers, text) => {
  const { output, first } = given(request(`GET / ${version}`));
  first.stream.sendHead({ ...responseHead(200, headers, 2), version: "2" }, false);
  first.stream.sendData(bytes("ok"), false);
  first.stream.sendTrailers(["x-sum", "1"]);
  expect(output.text).toEndWith(text);
});

describe("framing of responses", () => {
  type Send = (stream: RecordedRequest["stream"]) => void;
  const ok =
    (length?: number): Send =>
    (stream) => {
      stream.sendHead(responseHead(200, ["x", "y"], length), false);
      stream.sendData(bytes("hel"), false);
      stream.sendData(bytes("lo"), true);
    };
  const head =
    (status: number, length?: number): Send =>
    (stream) =>
      stream.sendHead(responseHead(status, ["content-length", "7"], length), true);
  const rows: [string, string, Send, string, "open" | "ended"][] = [
    ["a length", "GET / HTTP/1.1", ok(5), "HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n\r\nhello", "open"],
    [
      "no length",
      "GET / HTTP/1.1",
      ok(),
      "HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
      "open",
    ],
    [
      "no length, HTTP/1.0",
      "GET / HTTP/1.0",
      ok(),
      "HTTP/1.1 200 OK\r\nx: y\r\nconnection: close\r\n\r\nhello",
      "ended",
    ],
    ["HEAD with a length", "HEAD / HTTP/1.1", head(200, 7), "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", "open"],
    ["HEAD without a length", "HEAD / HTTP/1.1", head(200), "HTTP/1.1 200 OK\r\n\r\n", "open"],
    [
      "HEAD, answered with content",
      "HEAD / HTTP/1.1",
      ok(5),
      "HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n\r\n",
      "open",
    ],
    ["204", "GET / HTTP/1.1", head(204), "HTTP/1.1 204 No Content\r\n\r\n", "open"],
    [
      "304 with a length",
      "GET / HTTP/1.1",
      head(304, 7),
      "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
      "open",
    ],
    ["205", "GET / HTTP/1.1", head(205), "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n", "open"],
    ["a status without a phrase", "GET / HTTP/1.1", head(599), "HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n", "open"],
    [
      "data that ends with nothing",
      "GET / HTTP/1.1",
      (stream) => {
        stream.sendHead(responseHead(200), false);
        stream.sendData(bytes(""), false);
        stream.sendData(bytes("a"), false);
        stream.sendData(bytes(""), true);
      },
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
      "open",
    ],
    [
      "trailers",
      "GET / HTTP/1.1",
      (stream) => {
        stream.sendHead(responseHead(200), false);
        stream.sendTrailers(["x-sum", "1"]);
      },
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n",
      "open",
    ],
    [
      "trailers where the framing has none",
      "GET / HTTP/1.1",
      (stream) => {
        stream.sendHead(responseHead(200, [], 2), false);
        stream.sendData(bytes("ok"), false);
        stream.sendTrailers(["x-sum", "1"]);
      },
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
      "open",
    ],
    [
      "framing fields that a filter set",
      "GET / HTTP/1.1",
      (stream) =>
        stream.sendHead(
          responseHead(200, [
            "transfer-encoding",
            "chunked",
            "connection",
            "x",
            "keep-alive",
            "1",
            "content-length",
            "9",
            "upgrade",
            "x",
            "a",
            "b",
          ]),
          true,
        ),
      "HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 0\r\n\r\n",
      "open",
    ],
  ];
  test.each(rows)("%s", (_, line, send, text, fate) => {
    const { output, first, connection } = given(request(line));
    send(first.stream);
    expect(output.text).toBe(text);
    expect(output.fate).toBe(fate);
    expect(connection.openStreams).toBe(0);
  });

  const wrong: [string, Send][] = [
    ["longer than announced", (stream) => stream.sendData(bytes("toolong"), false)],
    ["longer than announced, at the end", (stream) => stream.sendData(bytes("toolong"), true)],
    ["shorter than announced", (stream) => stream.sendData(bytes("ok"), true)],
    ["shorter than announced, with trailers", (stream) => stream.sendTrailers(["a", "b"])],
  ];
  test.each(wrong)("a body %s is cut off, never written", (_, send) => {
    const { output, first } = given(GET);
    first.stream.sendHead(responseHead(200, [], 5), false);
    send(first.stream);
    expect(output.text).toBe("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    expect(output.fate).toBe("ended");
    expect(first.fault).toEqual({ kind: "cancelled", detail: "content_length_mismatch" });
  });

  test.each(["a\r\nb: c", "a\nb", "a\rb", "a\0b", "a\u010ab"])(
    "a field that would break its line throws: %j",
    (text) => {
      expect(() => given(GET).first.stream.sendHead(responseHead(200, ["x", text]), true)).toThrow("break its line");
      expect(() => given(GET).first.stream.sendHead(responseHead(200, [text, "x"]), true)).toThrow("break its line");
    },
  );

  test("calls out of order are our bug, and throw", () => {
    expect(() => given(GET).first.stream.sendData(bytes("x"), true)).toThrow("out of order");
    expect(() => given(GET).first.stream.sendInformational(responseHead(200))).toThrow("not an informational status");
    expect(() => given(GET).first.stream.sendHead(responseHead(101), false)).toThrow("101 without");
    const { first } = given(GET);
    first.stream.sendHead(responseHead(200), false);
    expect(() => first.stream.sendHead(responseHead(200), false)).toThrow("out of order");
  });
});

describe("interim responses", () => {
  test("100 goes out before the body comes in", () => {
    const { connection, output, first } = given(
      request("POST / HTTP/1.1", "Expect: 100-Continue\r\nContent-Length: 2\r\n"),
    );
    expect(first.head).toMatchObject({
      expectContinue: true,
      headers: ["content-length", "2"],
    } satisfies Partial<RequestHead>);
    first.stream.sendInformational(responseHead(100));
    feed(connection, "ok");
    first.stream.sendHead(responseHead(204), true);
    expect(first.body).toBe("ok");
    expect(output.text).toBe("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    expect(output.fate).toBe("open");
  });

  test("103 carries fields, and an HTTP/1.0 client is spared it", () => {
    const modern = given(GET);
    modern.first.stream.sendInformational(responseHead(103, ["link", "</a>"]));
    expect(modern.output.text).toBe("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    const old = given("GET / HTTP/1.0\r\n\r\n");
    old.first.stream.sendInformational(responseHead(103, ["link", "</a>"]));
    expect(old.output.text).toBe("");
  });

  test("a refusal instead of 100 closes: nobody can tell whether the body still comes", () => {
    const { output, first } = given(request("POST / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 2\r\n"));
    first.stream.sendHead(responseHead(403), true);
    expect(output.text).toContain("connection: close");
    expect(output.fate).toBe("ended");
  });
});
