import { describe, expect, test } from "bun:test";
import { PREFACE } from "../../../../src/proxy/codec/http2/preface.ts";
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

describe("flow control", () => {
  test("a stream's window is credited while its listener reads, and not while it is paused", () => {
    const server = makeServer({ streamWindowBytes: 100_000 });
    server.say(headers(1, POST, false));
    const { stream } = server.stream(0);
    expect(server.say(data(1, Buffer.alloc(16_000), false))).toEqual([]);
    stream.pause();
    const rest = new Array<Uint8Array>(4).fill(data(1, Buffer.alloc(16_000), false));
    expect(server.say(...rest)).toEqual([]);
    stream.resume();
    expect(server.hear()).toEqual(["WINDOW_UPDATE 1 80000"]);
  });

  test("a paused stream does not hold the connection's window", () => {
    const server = makeServer({ connectionWindowBytes: 65_535, streamWindowBytes: 65_535 });
    server.say(headers(1, POST, false));
    server.stream(0).stream.pause();
    const answers = server.say(...new Array<Uint8Array>(3).fill(data(1, Buffer.alloc(16_000), false)));
    expect(answers).toEqual(["WINDOW_UPDATE 0 48000"]);
  });

  test("more than a stream's window fails the stream, more than the connection's fails the connection", () => {
    const server = makeServer({ streamWindowBytes: 65_535, connectionWindowBytes: 100_000 });
    server.say(headers(1, POST, false));
    server.stream(0).stream.pause();
    const full = new Array<Uint8Array>(5).fill(data(1, Buffer.alloc(16_000), false));
    expect(server.say(...full)).toEqual(["WINDOW_UPDATE 0 64000", "RST_STREAM 1 3"]);
  });

  test("a window below the RFC's holds once the peer has acknowledged it, not before", () => {
    const hello = Buffer.concat([PREFACE, settings()]);
    const server = makeServer({ streamWindowBytes: 1000 }, hello);
    server.say(headers(1, POST, false), headers(3, POST, false));
    for (const { stream } of server.accepted) stream.pause();
    expect(server.say(data(1, Buffer.alloc(16_000), false))).toEqual([]);
    server.say(frame("SETTINGS", ACK, 0), headers(5, POST, false));
    server.stream(2).stream.pause();
    expect(server.say(data(5, Buffer.alloc(1000), false))).toEqual([]);
    expect(server.say(data(5, Buffer.alloc(1), false))).toEqual(["RST_STREAM 5 3"]);
  });

  test("a small piece does not keep the large chunk that it came in alive", () => {
    const server = makeServer();
    const held: number[] = [];
    const large = new Array<Uint8Array>(4).fill(data(1, Buffer.alloc(16_000), false));
    server.say(headers(1, POST, false));
    const { recorder } = server.stream(0);
    recorder.onData = (chunk) => void held.push(chunk.buffer.byteLength);
    server.say(data(1, "a", false), ...large);
    expect(held[0]).toBe(1);
  });

  test("padding counts, and comes back", () => {
    const server = makeServer({ streamWindowBytes: 1000 }, Buffer.concat([CLIENT_HELLO]));
    server.say(headers(1, POST, false));
    expect(server.say(frame("DATA", PADDED, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(500)])))).toEqual([
      "WINDOW_UPDATE 1 501",
    ]);
  });

  test("the peer's windows hold, and each stream goes on when it may", () => {
    const server = makeServer();
    server.say(settings([4, 10]), headers(1, GET, true), headers(3, GET, true));
    const [a, b] = [server.stream(0), server.stream(1)];
    for (const { stream } of [a, b]) {
      stream.sendHead(responseHead(), false);
      expect(stream.sendData(Buffer.alloc(25), false)).toBe(false);
    }
    expect(server.hear()).toEqual(["HEADERS 1 :status=200", "DATA 1 10", "HEADERS 3 :status=200", "DATA 3 10"]);
    expect(server.say(frame("WINDOW_UPDATE", 0, 3, uint32(15)))).toEqual(["DATA 3 15"]);
    expect(b.recorder.drains).toBe(1);
    expect(a.recorder.drains).toBe(0);
    // A smaller initial window makes the first stream's negative; only more than the debt lets it go on.
    expect(server.say(settings([4, 0]))).toEqual(["SETTINGS 0 ack 0"]);
    expect(server.say(frame("WINDOW_UPDATE", 0, 1, uint32(10)))).toEqual([]);
    expect(server.say(frame("WINDOW_UPDATE", 0, 1, uint32(5)))).toEqual(["DATA 1 5"]);
    expect(server.say(settings([4, 100]))).toEqual(["SETTINGS 0 ack 0", "DATA 1 10"]);
    expect(a.recorder.drains).toBe(1);
  });

  test("the end and trailers wait for the data before them, and need no window themselves", () => {
    const server = makeServer();
    server.say(settings([4, 4]), headers(1, GET, true), headers(3, GET, true), headers(5, GET, true));
    const [a, b, c] = [0, 1, 2].map((index) => server.stream(index).stream);
    for (const stream of [a, b, c]) stream?.sendHead(responseHead(), false);
    a?.sendData(Buffer.alloc(6), false);
    a?.sendData(new Uint8Array(0), true);
    b?.sendData(Buffer.alloc(6), false);
    b?.sendTrailers(["x", "y"]);
    c?.sendData(Buffer.alloc(4), false);
    c?.sendData(new Uint8Array(0), true);
    expect(server.hear().slice(3)).toEqual(["DATA 1 4", "DATA 3 4", "DATA 5 4", "DATA 5 end 0"]);
    expect(server.say(frame("WINDOW_UPDATE", 0, 1, uint32(2)))).toEqual(["DATA 1 end 2"]);
    expect(server.say(frame("WINDOW_UPDATE", 0, 3, uint32(2)))).toEqual(["DATA 3 2", "HEADERS 3 end x=y"]);
    expect(server.connection.openStreams).toBe(0);
  });

  test("large bodies take turns", () => {
    const server = makeServer();
    server.say(settings([4, 1_000_000]), headers(1, GET, true), headers(3, GET, true));
    const [a, b] = [server.stream(0).stream, server.stream(1).stream];
    a.sendHead(responseHead(), false);
    b.sendHead(responseHead(), false);
    a.sendData(Buffer.alloc(80_000), true);
    b.sendData(Buffer.alloc(40_000), true);
    server.hear();
    expect(server.say(frame("WINDOW_UPDATE", 0, 0, uint32(200_000)))).toEqual([
      "DATA 1 end 14465",
      "DATA 3 16384",
      "DATA 3 16384",
      "DATA 3 end 7232",
    ]);
  });

  test("a peer that does not read holds back bodies, and is read no more when even control frames pile up", () => {
    const server = makeServer({ writeHighWaterBytes: 1000 });
    server.say(headers(1, GET, true));
    const { stream, recorder } = server.stream(0);
    stream.sendHead(responseHead(), false);
    expect(stream.sendData(Buffer.alloc(5000), false)).toBe(false);
    expect(stream.sendData(Buffer.alloc(5000), false)).toBe(false);
    expect(server.output.queuedBytes).toBeLessThan(6000);
    for (let i = 0; i < 200; i++) server.connection.receive(frame("PING", 0, 0, "12345678"));
    expect(server.output.readingPaused).toBe(true);
    server.hear();
    expect(server.output.readingPaused).toBe(false);
    server.hear();
    expect(recorder.drains).toBe(1);
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

describe("the end", () => {
  test("drain: GOAWAY twice, with a PING between, and the end behind the last stream", () => {
    const server = makeServer();
    server.say(headers(1, GET, true));
    server.connection.drain();
    expect(server.hear()).toEqual(["GOAWAY 2147483647 0", "PING 0 8"]);
    // What was on its way is still served.
    server.say(headers(3, GET, true));
    expect(server.say(frame("PING", ACK, 0, "hdldrain"))).toEqual(["GOAWAY 3 0"]);
    expect(server.say(headers(5, GET, true), data(5, "a", true))).toEqual([]);
    expect(server.accepted).toHaveLength(2);
    server.stream(0).stream.sendHead(responseHead(), true);
    expect(server.output.ended).toBe(false);
    server.stream(1).stream.sendHead(responseHead(), true);
    expect(server.output.ended).toBe(true);
  });

  test("the owner can cut the grace short", () => {
    const server = makeServer();
    server.connection.drain();
    server.connection.drain();
    expect(server.hear()).toEqual(["GOAWAY 2147483647 0", "PING 0 8", "GOAWAY 0 0"]);
    expect(server.output.ended).toBe(true);
  });

  test.each<[string, (server: Server) => void]>([
    ["the peer's end", (server) => server.connection.receiveEnd()],
    ["the socket's end", (server) => server.connection.receiveClose()],
  ])("%s faults every open stream", (_what, end) => {
    const server = makeServer();
    server.say(headers(1, POST, false), headers(3, GET, true));
    end(server);
    for (const { recorder } of server.accepted) {
      expect(recorder.events.at(-1)).toBe("fault peer-reset connection_closed");
    }
    expect(server.connection.openStreams).toBe(0);
    // Their owners may not have heard yet.
    expect(server.stream(0).stream.sendData(Buffer.from("a"), true)).toBe(true);
  });

  test("our own reset is silent towards us, and late frames are ignored", () => {
    const server = makeServer();
    server.say(headers(1, POST, false));
    const { stream, recorder } = server.stream(0);
    stream.reset({ kind: "timeout", detail: "request_timeout" });
    stream.reset({ kind: "timeout", detail: "request_timeout" });
    expect(server.hear()).toEqual(["RST_STREAM 1 8"]);
    expect(server.say(data(1, "late", true))).toEqual([]);
    expect(recorder.events).toEqual(["head POST /"]);
  });

  test("a response that needs no more of the request ends it without an error", () => {
    const server = makeServer();
    server.say(headers(1, POST, false));
    const { stream } = server.stream(0);
    stream.sendHead(responseHead({ status: 413 }), true);
    stream.reset({ kind: "cancelled", detail: "answered_early" });
    expect(server.hear()).toEqual(["HEADERS 1 end :status=413", "RST_STREAM 1 0"]);
  });

  test("and what is queued of the answer goes out first", () => {
    const server = makeServer({}, Buffer.concat([PREFACE, settings([4, 4]), frame("SETTINGS", ACK, 0)]));
    server.say(headers(1, POST, false));
    const { stream } = server.stream(0);
    stream.sendHead(responseHead({ status: 413 }), false);
    stream.sendData(Buffer.from("too large"), true);
    stream.reset({ kind: "cancelled", detail: "answered_early" });
    expect(server.hear()).toEqual(["HEADERS 1 :status=413", "DATA 1 4"]);
    expect(server.say(frame("WINDOW_UPDATE", 0, 1, uint32(100)))).toEqual(["DATA 1 end 5", "RST_STREAM 1 0"]);
    expect(server.connection.openStreams).toBe(0);
  });

  test("a reset that meets one of ours on the way is no nuisance", () => {
    const server = makeServer();
    for (let i = 0; i < 2000; i++) {
      server.say(headers(2 * i + 1, POST, false));
      const { stream } = server.stream(i);
      stream.sendHead(responseHead({ status: 413 }), true);
      stream.reset({ kind: "cancelled", detail: "answered_early" });
      server.say(frame("RST_STREAM", 0, 2 * i + 1, uint32(8)));
    }
    expect(server.output.ended).toBe(false);
  });

  test("calls out of order are our own bug", () => {
    const server = makeServer();
    server.say(headers(1, GET, true));
    const { stream } = server.stream(0);
    expect(() => stream.sendData(Buffer.from("a"), false)).toThrow();
    stream.sendHead(responseHead(), false);
    expect(() => stream.sendHead(responseHead(), false)).toThrow();
    stream.sendData(Buffer.from("a"), true);
  });
});
