import { describe, expect, test } from "bun:test";
import { isHttp2Preface, PREFACE } from "../../../../src/proxy/codec/http2/preface.ts";
import { Http2ServerConnection } from "../../../../src/proxy/codec/http2/server-connection.ts";
import type { StreamFault } from "../../../../src/proxy/codec/message.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../../src/proxy/limits.ts";
import {
  ACK,
  block,
  CLIENT_HELLO,
  data,
  END_HEADERS,
  END_STREAM,
  FrameLog,
  frame,
  GET,
  headers,
  PADDED,
  POST,
  PRIORITY_FLAG,
  settings,
  uint32,
} from "../../../support/http2-frames.ts";
import { makeServer } from "../../../support/http2-server.ts";
import { MemoryOutput } from "../../../support/memory-output.ts";
import { recordStreams, responseHead } from "../../../support/stream-recorder.ts";

describe("preface", () => {
  test.each<[string, Uint8Array, "yes" | "no" | "more"]>([
    ["whole", PREFACE, "yes"],
    ["with more behind", Buffer.concat([PREFACE, settings()]), "yes"],
    ["half", PREFACE.subarray(0, 12), "more"],
    ["empty", new Uint8Array(0), "more"],
    ["HTTP/1.1", Buffer.from("GET / HTTP/1.1\r\n"), "no"],
    ["HTTP/1.1 with a method like it", Buffer.from("PRI * HTTP/1.1\r\n"), "no"],
  ])("%s", (_what, bytes, answer) => {
    expect(isHttp2Preface(bytes)).toBe(answer);
  });

  test("the server speaks first, and acknowledges what it hears", () => {
    const output = new MemoryOutput();
    const { accept } = recordStreams();
    const connection = new Http2ServerConnection({ output, limits: DEFAULT_LIMITS, accept, scheme: "http" });
    const log = new FrameLog();
    expect(log.lines(output.take())).toEqual(["SETTINGS 0 24", "WINDOW_UPDATE 0 4128769"]);
    for (const byte of CLIENT_HELLO) connection.receive(Uint8Array.of(byte));
    expect(log.lines(output.take())).toEqual(["SETTINGS 0 ack 0"]);
  });

  test.each<[string, Uint8Array]>([
    ["another protocol", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")],
    ["no SETTINGS", Buffer.concat([PREFACE, frame("PING", 0, 0, Buffer.alloc(8))])],
    ["an acknowledgement first", Buffer.concat([PREFACE, frame("SETTINGS", ACK, 0)])],
  ])("%s is a protocol error", (_what, hello) => {
    const output = new MemoryOutput();
    const { accept } = recordStreams();
    const connection = new Http2ServerConnection({ output, limits: DEFAULT_LIMITS, accept, scheme: "http" });
    output.take();
    connection.receive(hello);
    expect(new FrameLog().lines(output.take())[0]).toStartWith("GOAWAY 0 1 ");
    expect(output.ended).toBe(true);
  });
});

describe("exchanges", () => {
  test("a request and its response", () => {
    const server = makeServer();
    expect(server.say(headers(1, [...GET, ["accept", "*/*"]], true))).toEqual([]);
    const { stream, recorder } = server.stream(0);
    expect(recorder.head).toEqual({
      method: "GET",
      path: "/",
      authority: "orders.shop",
      scheme: "http",
      absoluteForm: false,
      upgrade: undefined,
      expectContinue: false,
      headers: ["accept", "*/*"],
      contentLength: 0,
      version: "2",
    });
    stream.sendHead(responseHead({ headers: ["content-length", "5"], contentLength: 5 }), false);
    expect(stream.sendData(Buffer.from("hello"), true)).toBe(true);
    expect(server.hear()).toEqual(["HEADERS 1 :status=200 content-length=5", "DATA 1 end 5"]);
    expect(server.connection.openStreams).toBe(0);
  });

  test("bodies, padding and trailers both ways, and 1xx", () => {
    const server = makeServer();
    server.say(
      headers(1, POST, false),
      frame("DATA", PADDED, 1, [3, 1, 2, 0, 0, 0]),
      frame("HEADERS", END_HEADERS | END_STREAM, 1, block(["x-sum", "3"])),
    );
    const { stream, recorder } = server.stream(0);
    expect(recorder.events).toEqual(["head POST /", "data 2", "trailers x-sum 3"]);
    expect([...recorder.body]).toEqual([1, 2]);
    stream.sendInformational(responseHead({ status: 103, headers: ["link", "</a>"] }));
    stream.sendHead(responseHead(), false);
    stream.sendData(Buffer.from("ab"), false);
    stream.sendTrailers(["grpc-status", "0"]);
    expect(server.hear()).toEqual([
      "HEADERS 1 :status=103 link=</a>",
      "HEADERS 1 :status=200",
      "DATA 1 2",
      "HEADERS 1 end grpc-status=0",
    ]);
  });

  test("a head in CONTINUATION, with padding and priority, cut at every byte", () => {
    const fields = block(...GET, ["x-a", "b".repeat(100)]);
    const bytes = Buffer.concat([
      frame("HEADERS", END_STREAM | PADDED | PRIORITY_FLAG, 1, [
        2,
        ...uint32(0x80000003),
        15,
        ...fields.subarray(0, 10),
        0,
        0,
      ]),
      frame("CONTINUATION", 0, 1, fields.subarray(10, 50)),
      frame("CONTINUATION", END_HEADERS, 1, fields.subarray(50)),
    ]);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const server = makeServer();
      server.say(bytes.subarray(0, cut));
      server.say(bytes.subarray(cut));
      expect(server.stream(0).recorder.head?.headers).toEqual(["x-a", "b".repeat(100)]);
    }
  });

  test("a long response head goes out in CONTINUATION", () => {
    const server = makeServer();
    server.say(headers(1, GET, true));
    server.stream(0).stream.sendHead(responseHead({ headers: ["x-long", "v".repeat(40_000)] }), true);
    const bytes = server.output.take();
    expect([...bytes.subarray(0, 9)]).toEqual([0x00, 0x40, 0x00, 1, END_STREAM, 0, 0, 0, 1]);
    expect([...bytes.subarray(16_393, 16_402)]).toEqual([0x00, 0x40, 0x00, 9, 0, 0, 0, 0, 1]);
    expect(bytes[32_790]).toBe(END_HEADERS);
    expect(bytes.length).toBeGreaterThan(40_000);
  });

  test.each<[string, [string, string][], object]>([
    [
      "cookie crumbs are joined",
      [...GET, ["cookie", "a=1"], ["x", "y"], ["cookie", "b=2"]],
      { headers: ["cookie", "a=1; b=2", "x", "y"] },
    ],
    [
      "host stands in for :authority",
      [...GET.slice(0, 3), ["host", "Shop:8080"]],
      { authority: "shop:8080", headers: [] },
    ],
    ["host may repeat :authority", [...GET, ["host", "ORDERS.shop"]], { authority: "orders.shop", headers: [] }],
    ["te: trailers stays", [...GET, ["te", "trailers"]], { headers: ["te", "trailers"] }],
    ["expectation is a flag", [...GET, ["expect", "100-Continue"]], { expectContinue: true, headers: [] }],
    [
      "asterisk-form",
      [
        [":method", "OPTIONS"],
        [":scheme", "http"],
        [":path", "*"],
      ],
      { path: "*", authority: "" },
    ],
    [
      "CONNECT",
      [
        [":method", "CONNECT"],
        [":authority", "a.b:443"],
      ],
      { path: "", authority: "a.b:443", upgrade: undefined },
    ],
    [
      "extended CONNECT",
      [[":method", "CONNECT"], [":protocol", "websocket"], ...GET.slice(1)],
      { method: "CONNECT", path: "/", upgrade: "websocket" },
    ],
    [
      "extended CONNECT to a version of a protocol",
      [[":method", "CONNECT"], [":protocol", "SPDY/3.1"], ...GET.slice(1)],
      { method: "CONNECT", path: "/", upgrade: "spdy/3.1" },
    ],
  ])("%s", (_what, fields, expected) => {
    const server = makeServer();
    server.say(headers(1, fields, false));
    expect(server.stream(0).recorder.head).toMatchObject(expected);
  });

  test("the 101 of an HTTP/1.1 upstream answers extended CONNECT as 200", () => {
    const server = makeServer();
    server.say(headers(1, [[":method", "CONNECT"], [":protocol", "websocket"], ...GET.slice(1)], false));
    server.stream(0).stream.sendHead(responseHead({ status: 101 }), false);
    expect(server.hear()).toEqual(["HEADERS 1 :status=200"]);
  });
});

describe("malformed requests are reset, and the connection lives", () => {
  const base = GET.slice(0, 3);
  test.each<[string, [string, string][]]>([
    ["no :method", GET.slice(1)],
    [
      "no :scheme",
      [
        [":method", "GET"],
        [":path", "/"],
      ],
    ],
    [
      "no :path",
      [
        [":method", "GET"],
        [":scheme", "http"],
      ],
    ],
    [
      "empty :path",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", ""],
      ],
    ],
    [
      "relative :path",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "a"],
      ],
    ],
    [
      "absolute :path",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "http://a/"],
      ],
    ],
    [
      ":path with a fragment",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "/#a"],
      ],
    ],
    [
      ":path with a space",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "/a b"],
      ],
    ],
    [
      "asterisk-form of GET",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "*"],
      ],
    ],
    ["method that is no token", [[":method", "G ET"], ...GET.slice(1)]],
    [
      "unknown scheme",
      [
        [":method", "GET"],
        [":scheme", "ftp"],
        [":path", "/"],
      ],
    ],
    [":status", [...GET, [":status", "200"]]],
    ["pseudo-field twice", [...GET, [":path", "/"]]],
    ["pseudo-field behind a field", [...base, ["a", "b"], [":authority", "c"]]],
    ["unknown pseudo-field", [...GET, [":x", "y"]]],
    ["upper-case name", [...GET, ["Accept", "a"]]],
    ["connection", [...GET, ["connection", "close"]]],
    ["keep-alive", [...GET, ["keep-alive", "1"]]],
    ["proxy-connection", [...GET, ["proxy-connection", "close"]]],
    ["transfer-encoding", [...GET, ["transfer-encoding", "chunked"]]],
    ["upgrade", [...GET, ["upgrade", "h2c"]]],
    ["te beyond trailers", [...GET, ["te", "trailers, deflate"]]],
    ["LF in a value", [...GET, ["a", "b\nc"]]],
    ["host that differs", [...GET, ["host", "payments.shop"]]],
    ["host twice", [...base, ["host", "a"], ["host", "a"]]],
    ["user information", [...base, [":authority", "a@b"]]],
    ["empty authority", [...base, [":authority", ""]]],
    ["content-length that is no number", [...GET, ["content-length", "+5"]]],
    ["content-length twice", [...GET, ["content-length", "0"], ["content-length", "0"]]],
    ["content-length without a body", [...GET, ["content-length", "5"]]],
    [
      "CONNECT with :path",
      [
        [":method", "CONNECT"],
        [":authority", "a:1"],
        [":path", "/"],
      ],
    ],
    [
      "CONNECT without a port",
      [
        [":method", "CONNECT"],
        [":authority", "a"],
      ],
    ],
    ["CONNECT without an authority", [[":method", "CONNECT"]]],
    [":protocol that is none", [[":method", "CONNECT"], [":protocol", "a/1/2"], ...GET.slice(1)]],
    [":protocol of GET", [...GET, [":protocol", "websocket"]]],
    [
      "extended CONNECT without :path",
      [
        [":method", "CONNECT"],
        [":protocol", "websocket"],
        [":scheme", "http"],
      ],
    ],
  ])("%s", (_what, fields) => {
    const server = makeServer();
    expect(server.say(headers(1, fields, true))).toEqual(["RST_STREAM 1 1"]);
    expect(server.accepted).toHaveLength(0);
    server.say(headers(3, GET, true));
    expect(server.accepted).toHaveLength(1);
  });

  test("TRACE that does not end with its head (RFC 9110 §9.3.8)", () => {
    const server = makeServer();
    const trace: [string, string][] = [[":method", "TRACE"], ...GET.slice(1)];
    expect(server.say(headers(1, trace, false))).toEqual(["RST_STREAM 1 1"]);
    expect(server.say(headers(3, trace, true))).toEqual([]);
    expect(server.accepted).toHaveLength(1);
  });

  test.each<[string, Partial<Limits>, [string, string][], string]>([
    ["a large head", { headBytesMax: 1000 }, [...GET, ["a", "b".repeat(1000)]], "431"],
    ["many fields", { headerCountMax: 3 }, [...GET, ["a", ""], ["b", ""], ["c", ""], ["d", ""]], "431"],
    ["a long path", { targetBytesMax: 100 }, [...GET.slice(0, 2), [":path", `/${"a".repeat(100)}`]], "414"],
    ["an unknown expectation", {}, [...GET, ["expect", "tea"]], "417"],
  ])("%s is answered", (_what, limits, fields, status) => {
    const server = makeServer(limits);
    const answer = `HEADERS 1 end :status=${status} server=heddle content-length=0`;
    expect(server.say(headers(1, fields, false), data(1, "late", true))).toEqual([answer, "RST_STREAM 1 0"]);
    expect(server.say(headers(3, fields, true))).toEqual([answer.replace("HEADERS 1", "HEADERS 3")]);
    expect(server.output.ended).toBe(false);
  });

  test("what could not be read is told of, with the status where there was an answer", () => {
    const output = new MemoryOutput();
    const faults: StreamFault[] = [];
    const { accept, accepted } = recordStreams();
    const unreadable = (fault: StreamFault): void => void faults.push(fault);
    const limits = { ...DEFAULT_LIMITS, targetBytesMax: 100 };
    const connection = new Http2ServerConnection({ output, limits, accept, scheme: "http", unreadable });
    connection.receive(CLIENT_HELLO);
    connection.receive(headers(1, [[":method", "GET"]], true));
    connection.receive(headers(3, [...GET.slice(0, 2), [":path", `/${"a".repeat(100)}`]], true));
    connection.receive(frame("HEADERS", END_HEADERS | END_STREAM, 5, [0x80]));
    expect(faults).toEqual([
      { kind: "protocol-error", detail: "pseudo_field_missing" },
      { kind: "protocol-error", detail: "target_too_long", status: 414 },
      { kind: "protocol-error", detail: "index_invalid" },
    ]);
    expect(accepted).toHaveLength(0);
  });

  test("a header bomb costs a 431, not memory: one indexed field, repeated", () => {
    const server = makeServer();
    const bomb = Buffer.concat([
      block(...GET),
      Buffer.from([0x40, 1, 0x61, 0x7f, 0x81, 0x1e]),
      Buffer.alloc(4000, 0x62),
      Buffer.alloc(10_000, 0xbe),
    ]);
    expect(server.say(frame("HEADERS", END_HEADERS | END_STREAM, 1, bomb))[0]).toStartWith("HEADERS 1 end :status=431");
  });

  test.each<[string, Uint8Array[], string]>([
    ["more data than announced", [data(1, "123456", false)], "RST_STREAM 1 1"],
    ["less data than announced", [data(1, "1234", true)], "RST_STREAM 1 1"],
    ["trailers before the data", [headers(1, [["a", "b"]], true)], "RST_STREAM 1 1"],
    ["a second head", [headers(1, GET, false)], "RST_STREAM 1 1"],
    ["pseudo-fields in trailers", [data(1, "12345", false), headers(1, [[":path", "/"]], true)], "RST_STREAM 1 1"],
    ["data behind the end", [data(1, "12345", true), data(1, "", true)], "RST_STREAM 1 5"],
    ["headers behind the end", [data(1, "12345", true), headers(1, [["a", "b"]], true)], "RST_STREAM 1 5"],
    ["zero increment", [frame("WINDOW_UPDATE", 0, 1, uint32(0))], "RST_STREAM 1 1"],
    ["window overflow", [frame("WINDOW_UPDATE", 0, 1, uint32(0x7fffffff))], "RST_STREAM 1 3"],
    ["PRIORITY of a wrong size", [frame("PRIORITY", 0, 1, uint32(0))], "RST_STREAM 1 6"],
    ["dependency on itself", [frame("PRIORITY", 0, 1, [...uint32(1), 1])], "RST_STREAM 1 1"],
  ])("%s fails its stream only", (_what, frames, answer) => {
    const server = makeServer();
    server.say(headers(1, [...POST, ["content-length", "5"]], false), headers(3, GET, true));
    expect(server.say(...frames)).toEqual([answer]);
    expect(server.stream(0).recorder.fault?.kind).toBe("protocol-error");
    expect(server.connection.openStreams).toBe(1);
    // What was on its way when we reset is ignored.
    expect(server.say(data(1, "late", true), headers(1, [["late", "1"]], true))).toEqual([]);
    server.stream(1).stream.sendHead(responseHead(), true);
    expect(server.hear()).toEqual(["HEADERS 3 end :status=200"]);
  });
});
