import { describe, expect, test } from "bun:test";
import { given, request } from "./given-request.ts";
import { answer, bytes, feed, responseHead, serverUnderTest } from "./recorder.ts";

const GET = "GET / HTTP/1.1\r\nHost: orders.shop\r\n\r\n";
const CANCELLED = { kind: "cancelled", detail: "test" } as const;

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
