import { describe, expect, test } from "bun:test";
import type { RequestHead, ResponseHead } from "../../../../src/proxy/codec/message.ts";
import { asked, GET, OK, POST } from "./asked-server.ts";
import { bytes, clientUnderTest, feed, RecordedMessage, requestHead } from "./recorder.ts";

describe("exchanges in a row", () => {
  test("the connection can be opened again from within the end of a response", () => {
    const { connection, output } = clientUnderTest();
    const first = new RecordedMessage<ResponseHead>();
    const second = new RecordedMessage<ResponseHead>();
    first.onEvent = () => {
      if (first.ended) connection.open(second).sendHead(requestHead("GET", "/b"), true);
    };
    connection.open(first).sendHead(requestHead("GET", "/a"), true);
    expect(connection.capacity).toBe(0);
    expect(() => connection.open(second)).toThrow("no stream can be opened");
    feed(connection, OK);
    feed(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    expect([first.body, second.body]).toEqual(["ok", "ok"]);
    expect(second.ended).toBe(true);
    expect(output.text).toBe(
      "GET /a HTTP/1.1\r\nhost: orders.shop\r\n\r\nGET /b HTTP/1.1\r\nhost: orders.shop\r\n\r\n",
    );
    expect(connection.capacity).toBe(1);
    expect(connection.retired).toBe(false);
  });

  test("a stream that is given up before it sent anything leaves the connection as it was", () => {
    const { connection, output } = clientUnderTest();
    connection.open(new RecordedMessage<ResponseHead>()).reset({ kind: "cancelled", detail: "test" });
    expect(connection.capacity).toBe(1);
    expect(output.fate).toBe("open");
  });

  test("a stream that is given up later takes the connection with it", () => {
    const { connection, output, stream, response } = asked(GET);
    stream.reset({ kind: "cancelled", detail: "test" });
    expect(output.fate).toBe("destroyed");
    expect(connection.retired).toBe(true);
    expect(connection.capacity).toBe(0);
    expect(response.fault).toBeUndefined();
  });

  test("drain lets the exchange in hand finish", () => {
    const { connection, output, response } = asked(GET);
    connection.drain();
    expect(connection.retired).toBe(true);
    feed(connection, OK);
    expect(response.ended).toBe(true);
    expect(output.fate).toBe("ended");
    const idle = clientUnderTest();
    idle.connection.drain();
    expect(idle.output.fate).toBe("ended");
  });
});

describe("requests as they are written", () => {
  const rows: [string, RequestHead, boolean, string][] = [
    ["GET", GET, true, "GET / HTTP/1.1\r\nhost: orders.shop\r\n\r\n"],
    [
      "fields follow Host",
      requestHead("GET", "/", { headers: ["a", "1", "B", "2"] }),
      true,
      "GET / HTTP/1.1\r\nhost: orders.shop\r\na: 1\r\nB: 2\r\n\r\n",
    ],
    [
      "POST of nothing",
      requestHead("POST", "/"),
      true,
      "POST / HTTP/1.1\r\nhost: orders.shop\r\ncontent-length: 0\r\n\r\n",
    ],
    [
      "DELETE that said so",
      requestHead("DELETE", "/", { headers: ["content-length", "0"] }),
      true,
      "DELETE / HTTP/1.1\r\nhost: orders.shop\r\ncontent-length: 0\r\n\r\n",
    ],
    ["a length", POST, false, "POST / HTTP/1.1\r\nhost: orders.shop\r\ncontent-length: 4\r\n\r\n"],
    [
      "no length",
      requestHead("POST", "/", { contentLength: undefined }),
      false,
      "POST / HTTP/1.1\r\nhost: orders.shop\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
    [
      "the length is said once",
      requestHead("POST", "/", { contentLength: 4, headers: ["content-length", "004"] }),
      false,
      "POST / HTTP/1.1\r\nhost: orders.shop\r\ncontent-length: 4\r\n\r\n",
    ],
    [
      "an expectation",
      requestHead("POST", "/", { contentLength: 4, expectContinue: true }),
      false,
      "POST / HTTP/1.1\r\nhost: orders.shop\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n",
    ],
    [
      "te",
      requestHead("GET", "/", { headers: ["te", "trailers"] }),
      true,
      "GET / HTTP/1.1\r\nhost: orders.shop\r\nte: trailers\r\nconnection: te\r\n\r\n",
    ],
    [
      "framing fields that a filter set",
      requestHead("GET", "/", { headers: ["host", "evil", "transfer-encoding", "chunked", "connection", "close"] }),
      true,
      "GET / HTTP/1.1\r\nhost: orders.shop\r\n\r\n",
    ],
  ];
  test.each(rows)("%s", (_, head, end, text) => {
    const { connection, output } = clientUnderTest();
    connection.open(new RecordedMessage<ResponseHead>()).sendHead(head, end);
    expect(output.text).toBe(text);
  });

  test("chunks and trailers", () => {
    const { output, stream } = asked(requestHead("POST", "/", { contentLength: undefined }));
    stream.sendData(bytes("hello world, hello"), false);
    stream.sendTrailers(["x-sum", "1"]);
    expect(output.text).toEndWith("\r\n\r\n12\r\nhello world, hello\r\n0\r\nx-sum: 1\r\n\r\n");
  });

  test("what came over HTTP/2 with a length, and announces trailers, goes in chunks: a length would lose them", () => {
    for (const [headers, framing] of [
      [["trailer", "x-sum"], "transfer-encoding: chunked"],
      [[], "content-length: 2"],
    ] as const) {
      const head = requestHead("POST", "/", { contentLength: 2, headers: [...headers], version: "2" });
      const { output, stream } = asked(head);
      stream.sendData(bytes("ok"), false);
      stream.sendTrailers(["x-sum", "1"]);
      expect(output.text).toContain(`\r\n${framing}\r\n`);
      expect(output.text.endsWith("x-sum: 1\r\n\r\n")).toBe(headers.length > 0);
    }
  });

  test("backpressure", () => {
    const { connection, output, response, stream } = asked(POST, 0, { writeHighWaterBytes: 10 });
    output.queuedBytes = 11;
    expect(stream.sendData(bytes("a"), false)).toBe(false);
    output.queuedBytes = 0;
    connection.drained();
    expect(response.drains).toBe(1);
  });

  test("a body that breaks its announcement is not written", () => {
    const { output, response, stream } = asked(POST);
    stream.sendData(bytes("hello"), true);
    expect(output.text).toEndWith("\r\n\r\n");
    expect(output.fate).toBe("destroyed");
    expect(response.fault?.detail).toBe("content_length_mismatch");
  });
});

describe("responses that nobody asked for", () => {
  test("on an idle connection", () => {
    const { connection, output } = clientUnderTest();
    feed(connection, "HTTP/1.1 408 Request Timeout\r\n\r\n");
    expect(connection.retired).toBe(true);
    expect(output.fate).toBe("destroyed");
  });

  test("before the request was sent: it can go elsewhere", () => {
    const { connection } = clientUnderTest();
    const response = new RecordedMessage<ResponseHead>();
    connection.open(response);
    feed(connection, OK);
    expect(response.fault).toEqual({ kind: "refused", detail: "unsolicited_response" });
  });

  test("a second response after the first, and content after 204 (response splitting)", () => {
    for (const first of [OK, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"]) {
      const { connection, output, response } = asked(GET);
      feed(connection, `${first}HTTP/1.1 200 OK\r\n\r\n`);
      expect(response.ended).toBe(true);
      expect(response.fault).toBeUndefined();
      expect(connection.retired).toBe(true);
      expect(output.fate).toBe("destroyed");
    }
  });
});

describe("a response that is over before its request", () => {
  test("leaves the request to be finished, then the connection is free", () => {
    const { connection, response, stream } = asked(POST);
    feed(connection, OK);
    expect(response.ended).toBe(true);
    expect(connection.capacity).toBe(0);
    stream.sendData(bytes("data"), true);
    expect(connection.capacity).toBe(1);
  });

  test("ends the connection if the server will not keep it", () => {
    const { connection, output, response, stream } = asked(POST);
    feed(connection, OK.replace("\r\n", "\r\nConnection: close\r\n"));
    expect(response.ended).toBe(true);
    expect(output.fate).toBe("destroyed");
    expect(stream.sendData(bytes("data"), true)).toBe(true);
    expect(connection.openStreams).toBe(0);
  });
});

describe("a server that goes away", () => {
  const rows: [string, number, string, string, string][] = [
    ["before any response, on a fresh connection", 0, "", "peer-reset", "connection_closed_before_response"],
    ["before any response, on a reused one", 1, "", "peer-reset", "reused_connection_closed"],
    ["within the head, on a reused one", 1, "HTTP/1.1 2", "peer-reset", "response_truncated"],
    ["after an informational head", 1, "HTTP/1.1 100 Continue\r\n\r\n", "peer-reset", "response_truncated"],
  ];
  test.each(rows)("%s", (_, before, input, kind, detail) => {
    for (const how of ["receiveEnd", "receiveClose"] as const) {
      const { connection, response } = asked(GET, before);
      feed(connection, input);
      connection[how]();
      expect(response.fault).toMatchObject({ kind, detail });
      expect(connection.retired).toBe(true);
    }
  });

  test("before the request was sent: it can go elsewhere", () => {
    const { connection } = clientUnderTest();
    const response = new RecordedMessage<ResponseHead>();
    connection.open(response);
    connection.receiveEnd();
    expect(response.fault).toEqual({ kind: "refused", detail: "connection_closed_before_request" });
  });

  test("within a body, whatever its framing", () => {
    for (const framing of ["Content-Length: 5", "Transfer-Encoding: chunked"]) {
      const { connection, response } = asked(GET);
      feed(connection, `HTTP/1.1 200 OK\r\n${framing}\r\n\r\n3\r\n`);
      connection.receiveEnd();
      expect(response.ended).toBe(false);
      expect(response.fault).toMatchObject({ kind: "peer-reset", detail: "response_truncated" });
    }
  });

  test("without its end being seen, a body up to the connection's end is truncated", () => {
    const { connection, response } = asked(GET);
    feed(connection, "HTTP/1.1 200 OK\r\n\r\nabc");
    connection.receiveClose();
    expect(response.fault?.detail).toBe("connection_closed");
  });

  test("while the listener is paused: what arrived is still heard", () => {
    const { connection, output, response, stream } = asked(GET);
    feed(connection, "HTTP/1.1 200 OK\r\n\r\na");
    stream.pause();
    expect(output.reading).toBe(false);
    feed(connection, "bc");
    connection.receiveEnd();
    connection.receiveClose();
    expect(response.body).toBe("a");
    stream.resume();
    expect(response.body).toBe("abc");
    expect(response.ended).toBe(true);
    expect(response.fault).toBeUndefined();
  });

  test("on an idle connection: it is retired", () => {
    const { connection, output } = clientUnderTest();
    connection.receiveEnd();
    expect(connection.retired).toBe(true);
    expect(output.fate).toBe("ended");
  });
});
