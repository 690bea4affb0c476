import { describe, expect, test } from "bun:test";
import { Http2ServerConnection } from "../../../../src/proxy/codec/http2/server-connection.ts";
import { DEFAULT_LIMITS } from "../../../../src/proxy/limits.ts";
import {
  ACK,
  CLIENT_HELLO,
  data,
  END_HEADERS,
  frame,
  GET,
  headers,
  PADDED,
  POST,
  PRIORITY_FLAG,
  settings,
  uint32,
} from "../../../support/http2-frames.ts";
import { makeServer, type Server } from "../../../support/http2-server.ts";
import { MemoryOutput } from "../../../support/memory-output.ts";
import { recordStreams, responseHead } from "../../../support/stream-recorder.ts";

describe("connection errors", () => {
  const PROTOCOL = 1;
  const FLOW = 3;
  const CLOSED = 5;
  const SIZE = 6;
  const COMPRESSION = 9;
  const CALM = 11;
  test.each<[string, number, Uint8Array[]]>([
    ["DATA without a stream", PROTOCOL, [data(0, "a", true)]],
    ["HEADERS without a stream", PROTOCOL, [headers(0, GET, true)]],
    ["PRIORITY without a stream", PROTOCOL, [frame("PRIORITY", 0, 0, [0, 0, 0, 0, 0])]],
    ["RST_STREAM without a stream", PROTOCOL, [frame("RST_STREAM", 0, 0, uint32(8))]],
    ["SETTINGS on a stream", PROTOCOL, [frame("SETTINGS", 0, 1)]],
    ["PING on a stream", PROTOCOL, [frame("PING", 0, 1, Buffer.alloc(8))]],
    ["GOAWAY on a stream", PROTOCOL, [frame("GOAWAY", 0, 1, uint32(0, 0))]],
    ["even stream", PROTOCOL, [headers(2, GET, true)]],
    ["falling stream id", PROTOCOL, [headers(5, GET, true), headers(3, GET, true)]],
    ["DATA on an idle stream", PROTOCOL, [data(1, "a", true)]],
    ["RST_STREAM on an idle stream", PROTOCOL, [frame("RST_STREAM", 0, 1, uint32(8))]],
    ["WINDOW_UPDATE on an idle stream", PROTOCOL, [frame("WINDOW_UPDATE", 0, 1, uint32(1))]],
    ["CONTINUATION out of nowhere", PROTOCOL, [frame("CONTINUATION", END_HEADERS, 1, [0x82])]],
    ["a frame within a field block", PROTOCOL, [frame("HEADERS", 0, 1, [0x82]), frame("PING", 0, 0, Buffer.alloc(8))]],
    [
      "CONTINUATION of another stream",
      PROTOCOL,
      [frame("HEADERS", 0, 1, [0x82]), frame("CONTINUATION", END_HEADERS, 3, [0x84])],
    ],
    ["PUSH_PROMISE", PROTOCOL, [frame("PUSH_PROMISE", END_HEADERS, 1, [0, 0, 0, 2, 0x82])]],
    ["padding larger than the frame", PROTOCOL, [headers(1, POST, false), frame("DATA", PADDED, 1, [2, 0])]],
    ["padding without its length", SIZE, [headers(1, POST, false), frame("DATA", PADDED, 1)]],
    ["HEADERS too short for its priority", SIZE, [frame("HEADERS", END_HEADERS | PRIORITY_FLAG, 1, [0, 0])]],
    ["RST_STREAM of a wrong size", SIZE, [headers(1, POST, false), frame("RST_STREAM", 0, 1, [0, 0])]],
    ["SETTINGS of a wrong size", SIZE, [frame("SETTINGS", 0, 0, [0, 0, 0])]],
    ["an acknowledgement with content", SIZE, [frame("SETTINGS", ACK, 0, [0, 0, 0, 0, 0, 0])]],
    ["an acknowledgement unasked", PROTOCOL, [frame("SETTINGS", ACK, 0)]],
    ["PING of a wrong size", SIZE, [frame("PING", 0, 0, Buffer.alloc(7))]],
    ["GOAWAY of a wrong size", SIZE, [frame("GOAWAY", 0, 0, uint32(0))]],
    ["WINDOW_UPDATE of a wrong size", SIZE, [frame("WINDOW_UPDATE", 0, 0, [1])]],
    ["a frame larger than we allow", SIZE, [frame("DATA", 0, 1, Buffer.alloc(16_385))]],
    ["zero increment of the connection", PROTOCOL, [frame("WINDOW_UPDATE", 0, 0, uint32(0))]],
    ["overflow of the connection's window", FLOW, [frame("WINDOW_UPDATE", 0, 0, uint32(0x7fffffff))]],
    ["ENABLE_PUSH 2", PROTOCOL, [settings([2, 2])]],
    ["initial window too large", FLOW, [settings([4, 0x80000000])]],
    ["frame size too small", PROTOCOL, [settings([5, 16_383])]],
    ["frame size too large", PROTOCOL, [settings([5, 16_777_216])]],
    ["extended CONNECT withdrawn", PROTOCOL, [settings([8, 1]), settings([8, 0])]],
    ["thousands of settings", CALM, [settings(...new Array<[number, number]>(100).fill([4, 1]))]],
    ["an invalid index", COMPRESSION, [frame("HEADERS", END_HEADERS, 1, [0xff, 0x7f])]],
    ["a field block without end", CALM, [frame("HEADERS", 0, 1), ...continuations(40, 100)]],
    ["a field block beyond all bounds", CALM, [frame("HEADERS", 0, 1), ...continuations(10, 16_384)]],
  ])("%s", (_what, code, frames) => {
    const server = makeServer();
    const answer = server.say(...frames);
    expect(answer.at(-1)).toMatch(new RegExp(`^GOAWAY \\d+ ${code} [a-z_]+$`));
    expect(server.output.ended).toBe(true);
    expect(server.connection.openStreams).toBe(0);
    for (const { recorder } of server.accepted) expect(recorder.fault?.kind).toBe("protocol-error");
  });

  function continuations(count: number, bytes: number): Uint8Array[] {
    return new Array<Uint8Array>(count).fill(frame("CONTINUATION", 0, 1, Buffer.alloc(bytes)));
  }

  test.each<[string, Uint8Array]>([
    ["DATA", data(1, "a", true)],
    ["HEADERS", headers(1, GET, true)],
  ])("%s on a stream that both sides ended", (_what, late) => {
    const server = makeServer();
    server.say(headers(1, GET, true));
    server.stream(0).stream.sendHead(responseHead(), true);
    server.hear();
    expect(server.say(late).at(-1)).toMatch(new RegExp(`^GOAWAY 1 ${CLOSED} `));
  });

  test("DATA after the peer's own reset is told so once", () => {
    const server = makeServer();
    server.say(headers(1, POST, false), frame("RST_STREAM", 0, 1, uint32(8)));
    expect(server.stream(0).recorder.events.at(-1)).toBe("fault peer-reset reset_cancel");
    expect(server.say(data(1, "a", false))).toEqual(["RST_STREAM 1 5"]);
    expect(server.say(data(1, "a", false))).toEqual([]);
  });

  test("WINDOW_UPDATE, RST_STREAM and PRIORITY on a closed stream are ignored", () => {
    const server = makeServer();
    server.say(headers(1, GET, true));
    server.stream(0).stream.sendHead(responseHead(), true);
    server.hear();
    const late = [
      frame("WINDOW_UPDATE", 0, 1, uint32(10)),
      frame("RST_STREAM", 0, 1, uint32(8)),
      frame("PRIORITY", 0, 1, [0, 0, 0, 0, 0]),
    ];
    expect(server.say(...late)).toEqual([]);
  });

  test("what the RFC says to ignore is ignored: unknown frames, settings and flags, the reserved bit", () => {
    const server = makeServer();
    const head = headers(1, GET, true);
    head[5] = 0x80;
    head[4] = (head[4] ?? 0) | 0x42;
    expect(server.say(frame(0x42, 0xff, 7, "whatever"), settings([0x4242, 1]), head)).toEqual(["SETTINGS 0 ack 0"]);
    expect(server.accepted).toHaveLength(1);
    expect(server.say(frame("PING", 0, 0, "12345678"))).toEqual(["PING 0 ack 8"]);
  });

  test("what comes behind the end is swallowed up to a bound, then the connection is torn down", () => {
    const server = makeServer();
    server.say(data(0, "a", true));
    for (let i = 0; i < 16; i++) server.connection.receive(Buffer.alloc(65_536));
    expect(server.output.destroyed).toBe(false);
    server.connection.receive(Buffer.alloc(1));
    expect(server.output.destroyed).toBe(true);
  });
});

describe("floods", () => {
  function flood(count: number, make: (index: number) => Uint8Array[]): { lines: string[]; server: Server } {
    const server = makeServer();
    const lines: string[] = [];
    for (let i = 0; i < count && !server.output.ended; i++) lines.push(...server.say(...make(i)));
    return { lines, server };
  }

  test.each<[string, string, (index: number) => Uint8Array[]]>([
    [
      "rapid reset",
      "rapid_reset",
      (i) => [headers(2 * i + 1, GET, true), frame("RST_STREAM", 0, 2 * i + 1, uint32(8))],
    ],
    ["streams that we must reset", "stream_error_flood", (i) => [headers(2 * i + 1, [["a", "b"]], true)]],
    ["PING", "control_frame_flood", () => [frame("PING", 0, 0, "12345678")]],
    ["SETTINGS", "control_frame_flood", () => [settings()]],
    ["unknown frames", "control_frame_flood", () => [frame(0x42, 0, 0)]],
    ["PRIORITY", "control_frame_flood", () => [frame("PRIORITY", 0, 1, [0, 0, 0, 0, 0])]],
    [
      "DATA of nothing but padding",
      "empty_frame_flood",
      (i) => (i === 0 ? [headers(1, POST, false)] : [frame("DATA", PADDED, 1, [1, 0])]),
    ],
    ["empty DATA", "empty_frame_flood", (i) => (i === 0 ? [headers(1, POST, false)] : [data(1, "", false)])],
    [
      "WINDOW_UPDATE",
      "window_update_flood",
      () => new Array<Uint8Array>(10).fill(frame("WINDOW_UPDATE", 0, 0, uint32(1))),
    ],
  ])("%s ends in ENHANCE_YOUR_CALM", (_what, detail, make) => {
    const { lines, server } = flood(2000, make);
    expect(lines.at(-1)).toEndWith(` 11 ${detail}`);
    expect(server.output.ended).toBe(true);
  });

  test("resets are no flood where as many requests are served", () => {
    const server = makeServer();
    for (let i = 0; i < 3000; i++) {
      server.say(headers(4 * i + 1, GET, true));
      server.stream(2 * i).stream.sendHead(responseHead(), true);
      server.say(headers(4 * i + 3, GET, true), frame("RST_STREAM", 0, 4 * i + 3, uint32(8)));
    }
    expect(server.output.ended).toBe(false);
  });

  test("a verified peer passes on the aborts of many callers: thousands are no flood, but there is an end", () => {
    const output = new MemoryOutput();
    const { accept } = recordStreams();
    const options = { output, limits: DEFAULT_LIMITS, accept, scheme: "https", now: () => 0, peerIsVerified: true };
    const connection = new Http2ServerConnection(options);
    connection.receive(CLIENT_HELLO);
    const abort = (index: number): Buffer =>
      Buffer.concat([headers(2 * index + 1, GET, true), frame("RST_STREAM", 0, 2 * index + 1, uint32(8))]);
    let aborted = 0;
    while (aborted < 5000) connection.receive(abort(aborted++));
    expect(output.ended).toBe(false);
    while (aborted < 100_000 && !output.ended) connection.receive(abort(aborted++));
    expect(output.ended).toBe(true);
  });

  test("in what it does of itself, a verified peer is held to the measure of all", () => {
    const output = new MemoryOutput();
    const { accept } = recordStreams();
    const options = { output, limits: DEFAULT_LIMITS, accept, scheme: "https", now: () => 0, peerIsVerified: true };
    const connection = new Http2ServerConnection(options);
    connection.receive(CLIENT_HELLO);
    for (let i = 0; i < 1100 && !output.ended; i++) connection.receive(frame("PING", 0, 0, "12345678"));
    expect(output.ended).toBe(true);
  });

  test("a slow drip is no flood: time refills", () => {
    const output = new MemoryOutput();
    const { accept } = recordStreams();
    let nowMs = 0;
    const options = { output, limits: DEFAULT_LIMITS, accept, scheme: "http", now: () => nowMs };
    const connection = new Http2ServerConnection(options);
    connection.receive(CLIENT_HELLO);
    for (let i = 0; i < 5000; i++) {
      nowMs += 25;
      connection.receive(frame("PING", 0, 0, "12345678"));
    }
    expect(output.ended).toBe(false);
  });

  test("streams beyond the limit are refused", () => {
    const server = makeServer({ concurrentStreamsMax: 2 });
    const heads = [1, 3, 5].map((id) => headers(id, GET, true));
    expect(server.say(...heads)).toEqual(["RST_STREAM 5 7"]);
    server.stream(0).stream.sendHead(responseHead(), true);
    server.hear();
    expect(server.say(headers(7, GET, true))).toEqual([]);
    expect(server.accepted).toHaveLength(3);
  });
});
