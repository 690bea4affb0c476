import { describe, expect, test } from "bun:test";
import type { RequestHead } from "../../../../src/proxy/codec/message.ts";
import {
  answer,
  bytes,
  feed,
  type RecordedRequest,
  responseHead,
  type ServerUnderTest,
  serverUnderTest,
} from "./recorder.ts";

const GET = "GET / HTTP/1.1\r\nHost: orders.shop\r\n\r\n";
const CANCELLED = { kind: "cancelled", detail: "test" } as const;

function request(line: string, lines = "", body = ""): string {
  return `${line}\r\nHost: a\r\n${lines}\r\n${body}`;
}

/** A server that has read `input`, and the request that came of it. */
function given(input: string, limits = {}): ServerUnderTest & { first: RecordedRequest } {
  const server = serverUnderTest(undefined, limits);
  feed(server.connection, input);
  const first = server.requests[0];
  if (first === undefined) throw new Error("no request was read");
  return { ...server, first };
}

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

describe("an answer before the request is over", () => {
  test.each([
    [100, false],
    [101, true],
  ])("keeps the connection while no more than the window is missing: %i bytes", (missing, closes) => {
    const { output, first } = given(request("POST / HTTP/1.1", `Content-Length: ${missing + 1}\r\n`, "x"), {
      streamWindowBytes: 100,
    });
    first.stream.sendHead(responseHead(403, [], 0), true);
    expect(output.text.includes("connection: close")).toBe(closes);
    expect(output.fate).toBe(closes ? "ended" : "open");
  });

  test("of unknown length, ends the connection: as much as ever may follow", () => {
    const { output, first } = given(request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n"));
    first.stream.sendHead(responseHead(403, [], 0), true);
    expect(output.text).toContain("\r\nconnection: close\r\n");
    expect(output.fate).toBe("ended");
  });
});

describe("requests in a row", () => {
  test("a kept-alive connection serves one after the other", () => {
    const { connection, output, requests } = serverUnderTest(answer);
    feed(connection, GET);
    feed(connection, GET);
    expect(requests).toHaveLength(2);
    expect(output.text).toBe("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".repeat(2));
    expect(output.fate).toBe("open");
    expect(connection.openStreams).toBe(0);
    expect(connection.activity).toBe("idle");
  });

  test("a pipelined request waits, with reading paused, until the exchange ahead of it is over", () => {
    const { connection, output, requests } = serverUnderTest();
    feed(connection, GET + GET + GET);
    expect(requests).toHaveLength(1);
    expect(output.reading).toBe(false);
    requests[0]?.stream.sendHead(responseHead(204), true);
    expect(requests).toHaveLength(2);
    expect(output.reading).toBe(false);
    requests[1]?.stream.sendHead(responseHead(204), true);
    expect(requests).toHaveLength(3);
    expect(output.reading).toBe(true);
  });

  test("ten thousand pipelined requests, answered from within, do not deepen the stack", () => {
    const { connection, output, requests } = serverUnderTest(answer);
    feed(connection, GET.repeat(10_000));
    expect(requests).toHaveLength(10_000);
    expect(output.reading).toBe(true);
  });

  test("pipelined requests wait for a client that does not read its responses", () => {
    const { connection, output, requests } = serverUnderTest(answer, { writeHighWaterBytes: 10 });
    output.queuedBytes = 11;
    feed(connection, GET + GET);
    expect(requests).toHaveLength(0);
    expect(output.reading).toBe(false);
    output.queuedBytes = 0;
    connection.drained();
    expect(requests).toHaveLength(2);
    expect(output.reading).toBe(true);
  });

  test("input beyond its bound tears the connection down, if reading goes on in spite of a pause", () => {
    const { connection, output, first } = given(GET, { connectionWindowBytes: 1000 });
    feed(connection, "x".repeat(1001));
    expect(first.fault).toMatchObject({ kind: "protocol-error", detail: "input_overflow" });
    expect(output.fate).toBe("ended");
  });
});

describe("persistence", () => {
  const rows: [string, string, string, "open" | "ended"][] = [
    ["HTTP/1.1", "HTTP/1.1", "", "open"],
    ["HTTP/1.1 with close", "HTTP/1.1", "Connection: close\r\n", "ended"],
    ["HTTP/1.1 with close among others", "HTTP/1.1", "Connection: foo, CLOSE\r\n", "ended"],
    ["HTTP/1.1 with close in a second field", "HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", "ended"],
    ["HTTP/1.0", "HTTP/1.0", "", "ended"],
    ["HTTP/1.0 with keep-alive", "HTTP/1.0", "Connection: Keep-Alive\r\n", "open"],
    ["HTTP/1.0 with both", "HTTP/1.0", "Connection: keep-alive, close\r\n", "ended"],
  ];
  test.each(rows)("%s", (_, version, lines, fate) => {
    const { output, first } = given(request(`GET / ${version}`, lines));
    first.stream.sendHead(responseHead(200), true);
    const said =
      fate === "ended" ? "connection: close\r\n" : version === "HTTP/1.0" ? "connection: keep-alive\r\n" : "";
    expect(output.text).toBe(`HTTP/1.1 200 OK\r\ncontent-length: 0\r\n${said}\r\n`);
    expect(output.fate).toBe(fate);
  });

  test("nothing after the last request is looked at, and too much of it is left unread, not answered with a reset", () => {
    const { connection, output, requests, first } = given(request("GET / HTTP/1.1", "Connection: close\r\n"), {
      streamWindowBytes: 1000,
    });
    feed(connection, GET);
    first.stream.sendHead(responseHead(204), true);
    feed(connection, GET);
    expect(requests).toHaveLength(1);
    expect(output.reading).toBe(true);
    expect(output.fate).toBe("ended");
    feed(connection, "x".repeat(1001));
    expect(output.reading).toBe(false);
    expect(output.fate).toBe("ended");
  });

  test("drain closes an idle connection at once", () => {
    const { connection, output } = serverUnderTest();
    connection.drain();
    expect(output.fate).toBe("ended");
    expect(connection.activity).toBe("closing");
  });

  test("drain lets the exchange in hand finish and says that it is the last", () => {
    const { connection, output, requests, first } = given(GET + GET);
    connection.drain();
    first.stream.sendHead(responseHead(204), true);
    expect(output.text).toBe("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    expect(output.fate).toBe("ended");
    expect(requests).toHaveLength(1);
  });

  test("drain during a response that was begun ends after it", () => {
    const { connection, output, first } = given(GET);
    first.stream.sendHead(responseHead(200, [], 2), false);
    connection.drain();
    expect(output.fate).toBe("open");
    first.stream.sendData(bytes("ok"), true);
    expect(output.fate).toBe("ended");
  });

  test("drain serves a request whose head has begun to arrive", () => {
    const { connection, output } = serverUnderTest(answer);
    feed(connection, GET.slice(0, 10));
    expect(connection.activity).toBe("head");
    connection.drain();
    feed(connection, GET.slice(10));
    expect(output.text).toContain("connection: close");
    expect(output.fate).toBe("ended");
  });
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

describe("a response that is over before its request", () => {
  const post = request("POST / HTTP/1.1", "Content-Length: 2000\r\n", "x".repeat(100));

  test("the rest is thrown away and the connection goes on", () => {
    const { connection, output, requests, first } = given(post);
    first.stream.sendHead(responseHead(403), true);
    feed(connection, `${"x".repeat(1900)}${GET}`);
    expect(first.body).toBe("x".repeat(100));
    expect(requests).toHaveLength(2);
    expect(output.fate).toBe("open");
  });

  test("but not any amount of it", () => {
    const { connection, output, requests, first } = given(post, { streamWindowBytes: 1000 });
    first.stream.sendHead(responseHead(403), true);
    feed(connection, "x".repeat(1001));
    feed(connection, `${"x".repeat(899)}${GET}`);
    expect(requests).toHaveLength(1);
    expect(output.fate).toBe("ended");
  });

  test("nothing is lost when the listener had paused", () => {
    const { connection, output, requests, first } = given(request("POST / HTTP/1.1", "Content-Length: 4\r\n"));
    first.stream.pause();
    feed(connection, `abcd${GET}`);
    expect(output.reading).toBe(false);
    first.stream.sendHead(responseHead(403), true);
    expect(requests).toHaveLength(2);
    expect(output.reading).toBe(true);
  });
});

describe("backpressure", () => {
  test("a paused listener hears nothing, and everything once it resumes", () => {
    const { connection, output, first } = given(request("POST / HTTP/1.1", "Content-Length: 6\r\n"));
    feed(connection, "ab");
    first.stream.pause();
    expect(output.reading).toBe(false);
    feed(connection, "cdef");
    expect(first.body).toBe("ab");
    first.stream.resume();
    expect(first.body).toBe("abcdef");
    expect(first.ended).toBe(true);
    expect(output.reading).toBe(true);
  });

  test("a pause from within an event stops before the next", () => {
    const { connection, requests } = serverUnderTest((one) => one.stream.pause());
    feed(connection, request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "1\r\na\r\n1\r\nb\r\n0\r\n\r\n"));
    const first = requests[0];
    expect(first?.body).toBe("");
    first?.stream.resume();
    expect(first?.body).toBe("a");
    first?.stream.resume();
    expect(first?.body).toBe("ab");
    expect(first?.ended).toBe(true);
  });

  test("sendData says when to stop, and onDrain when to go on", () => {
    const { connection, output, first } = given(GET, { writeHighWaterBytes: 10 });
    first.stream.sendHead(responseHead(200), false);
    expect(first.stream.sendData(bytes("a"), false)).toBe(true);
    output.queuedBytes = 11;
    expect(first.stream.sendData(bytes("b"), false)).toBe(false);
    connection.drained();
    expect(first.drains).toBe(0);
    output.queuedBytes = 10;
    connection.drained();
    connection.drained();
    expect(first.drains).toBe(1);
  });
});

describe("ends", () => {
  test("a body that breaks its framing is answered, and the stream faults", () => {
    const { connection, output, first } = given(request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n"));
    feed(connection, "x\r\n");
    expect(first.fault).toEqual({ kind: "protocol-error", detail: "chunk_size_invalid", status: 400 });
    expect(output.text).toStartWith("HTTP/1.1 400 Bad Request\r\nserver: heddle\r\n");
    expect(output.fate).toBe("ended");
    first.stream.sendHead(responseHead(200), true);
    expect(output.text).not.toContain("200");
  });

  test("but not in the middle of a response", () => {
    const { connection, output, first } = given(request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n"));
    first.stream.sendHead(responseHead(200), false);
    feed(connection, "x\r\n");
    expect(first.fault?.detail).toBe("chunk_size_invalid");
    expect(output.text).not.toContain("400");
    expect(output.fate).toBe("destroyed");
  });

  const gone: [string, string, string | undefined][] = [
    ["in a head", GET.slice(0, 20), undefined],
    ["in a body with a length", request("POST / HTTP/1.1", "Content-Length: 5\r\n", "abc"), "request_truncated"],
    ["in a chunk line", request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "5"), "request_truncated"],
    ["while it waits for the response", GET, "connection_closed"],
  ];
  test.each(gone)("a client that goes away %s", (_, input, detail) => {
    for (const how of ["receiveEnd", "receiveClose"] as const) {
      const { connection, output, requests } = serverUnderTest();
      feed(connection, input);
      connection[how]();
      expect(requests[0]?.fault?.detail).toBe(
        how === "receiveClose" && detail !== undefined ? "connection_closed" : detail,
      );
      expect(connection.openStreams).toBe(0);
      expect(output.text).toBe("");
      connection.receiveClose();
    }
  });

  test("reset ends the connection, silently and once", () => {
    const { connection, output, first } = given(GET);
    first.stream.reset(CANCELLED);
    first.stream.reset(CANCELLED);
    expect(output.fate).toBe("destroyed");
    expect(first.fault).toBeUndefined();
    expect(connection.openStreams).toBe(0);
    connection.receiveClose();
    expect(first.fault).toBeUndefined();
  });

  test("reset after the end of the exchange does nothing", () => {
    const { output, first } = given(GET);
    first.stream.sendHead(responseHead(204), true);
    first.stream.reset(CANCELLED);
    expect(output.fate).toBe("open");
  });
});
