import { describe, expect, test } from "bun:test";
import type { RequestHead, ResponseHead } from "../../../../src/proxy/codec/message.ts";
import { seededRandom } from "../../../support/random.ts";
import { bytes, clientUnderTest, feed, RecordedMessage, requestHead } from "./recorder.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** A client that has sent `head`, after `before` exchanges were completed on the same connection. */
function asked(head: RequestHead, before = 0, limits = {}) {
  const { connection, output } = clientUnderTest(limits);
  for (let at = 0; at < before; at++) {
    connection.open(new RecordedMessage<ResponseHead>()).sendHead(requestHead("GET", "/"), true);
    feed(connection, OK);
  }
  output.text = "";
  const response = new RecordedMessage<ResponseHead>();
  const stream = connection.open(response);
  stream.sendHead(head, head.contentLength === 0);
  return { connection, output, response, stream };
}

const GET = requestHead("GET", "/");
const HEAD = requestHead("HEAD", "/");
const POST = requestHead("POST", "/", { contentLength: 4 });

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

interface Expected {
  readonly status?: number;
  readonly headers?: string[];
  readonly contentLength?: number | undefined;
  readonly version?: "1.0" | "1.1";
  readonly body?: string;
  readonly trailers?: string[];
  /** The connection can be used again. */
  readonly kept?: boolean;
}

describe("responses", () => {
  const length2 = { headers: ["content-length", "2"], contentLength: 2, body: "ok" };
  const rows: [string, RequestHead, string, Expected][] = [
    ["a length", GET, OK, length2],
    ["no reason phrase", GET, "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", length2],
    ["no space either", GET, "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", length2],
    ["a reason phrase with obs-text", GET, "HTTP/1.1 200 d'acc\xf4rd\t!\r\nContent-Length: 2\r\n\r\nok", length2],
    [
      "chunks",
      GET,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\nX: 1\r\n\r\n",
      { body: "ok", trailers: ["x", "1"] },
    ],
    [
      "nothing",
      GET,
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      { headers: ["content-length", "0"], contentLength: 0 },
    ],
    [
      "HEAD",
      HEAD,
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
      { headers: ["content-length", "2"], contentLength: 2 },
    ],
    ["HEAD, in chunks", HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", {}],
    ["HEAD, to the end", HEAD, "HTTP/1.1 200 OK\r\n\r\n", {}],
    [
      "204",
      GET,
      "HTTP/1.1 204 No Content\r\nX: content-length\r\nContent-Length: 2\r\n\r\n",
      { status: 204, headers: ["x", "content-length"] },
    ],
    [
      "304",
      GET,
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
      { status: 304, headers: ["content-length", "2"], contentLength: 2 },
    ],
    [
      "100 and 103 first",
      GET,
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${OK}`,
      length2,
    ],
    [
      "hop-by-hop fields",
      GET,
      "HTTP/1.1 200 OK\r\nConnection: x\r\nX: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
      length2,
    ],
    ["close", GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", { ...length2, kept: false }],
    ["a higher minor version is read as ours", GET, "HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nok", length2],
    ["HTTP/1.0", GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", { ...length2, version: "1.0", kept: false }],
    [
      "HTTP/1.0 with keep-alive",
      GET,
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
      { ...length2, version: "1.0" },
    ],
    ["an unknown status", GET, "HTTP/1.1 799 X\r\nContent-Length: 2\r\n\r\nok", { ...length2, status: 799 }],
  ];
  test.each(rows)("%s", (_, head, input, expected) => {
    const random = seededRandom(input.length);
    for (const cut of [
      () => input.length,
      () => 1,
      () => 1 + Math.floor(random() * 20),
      () => 1 + Math.floor(random() * 9),
    ]) {
      const { connection, output, response } = asked(head);
      feed(connection, input, cut);
      const { status = 200, headers = [], contentLength, version = "1.1" } = expected;
      expect(response.head).toEqual({ status, headers, contentLength, version });
      expect(response.body).toBe(expected.body ?? "");
      expect(response.trailers).toEqual(expected.trailers);
      expect(response.ended).toBe(true);
      expect(connection.capacity).toBe(expected.kept === false ? 0 : 1);
      expect(connection.retired).toBe(expected.kept === false);
      expect(output.fate).toBe(expected.kept === false ? "ended" : "open");
    }
  });

  test("informational heads are told apart from the final one", () => {
    const { connection, response } = asked(GET);
    feed(connection, `HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 3\r\n\r\n${OK}`);
    expect(response.informational).toEqual([
      { status: 103, headers: ["link", "x"], contentLength: undefined, version: "1.1" },
    ]);
  });

  test("a body that ends with the connection", () => {
    const { connection, output, response } = asked(GET);
    feed(connection, "HTTP/1.1 200 OK\r\n\r\nhel");
    feed(connection, "lo");
    expect(response.ended).toBe(false);
    expect(connection.retired).toBe(true);
    connection.receiveEnd();
    expect(response.body).toBe("hello");
    expect(response.ended).toBe(true);
    expect(output.fate).toBe("ended");
  });

  const refused: [string, string, string][] = [
    ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "status_line_invalid"],
    ["another version", "HTTP/2.0 200 OK\r\n\r\n", "version_unsupported"],
    ["no status", "HTTP/1.1 OK\r\n\r\n", "status_line_invalid"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "status_line_invalid"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "status_line_invalid"],
    ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "status_line_invalid"],
    ["a control character in the phrase", "HTTP/1.1 200 O\0K\r\n\r\n", "status_line_invalid"],
    ["an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "empty_start_line"],
    ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare_cr_or_lf"],
    ["folding", "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n", "obsolete_line_folding"],
    ["a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", "field_name_invalid"],
    [
      "both framings",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "content_length_with_transfer_encoding",
    ],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "content_length_repeated"],
    ["a bad length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "content_length_invalid"],
    ["another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer_encoding_unknown"],
    [
      "chunks under HTTP/1.0",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "transfer_encoding_from_http_1_0",
    ],
    ["a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n0\r\n\r\n", "chunk_size_invalid"],
    ["too large a head", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`, "head_too_large"],
    ["informational heads without end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(17), "too_many_informational_responses"],
  ];
  test.each(refused)("%s is refused", (_, input, detail) => {
    const random = seededRandom(input.length);
    for (const cut of [() => input.length, () => 1, () => 1 + Math.floor(random() * 20)]) {
      const { connection, output, response } = asked(GET);
      feed(connection, input, cut);
      expect(response.fault).toMatchObject({ kind: "protocol-error", detail });
      expect(output.fate).toBe("destroyed");
      expect(connection.retired).toBe(true);
    }
  });
});

test("a body that is broken from its first byte is known for it before its head is passed on", () => {
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const [body, isTold] of [
    ["ZZ\r\nabc", false],
    ["2\r\nokZZ", true],
  ] as const) {
    const { connection, response } = asked(GET);
    feed(connection, head + body);
    expect(response.head !== undefined).toBe(isTold);
    expect(response.fault?.kind).toBe("protocol-error");
  }
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
