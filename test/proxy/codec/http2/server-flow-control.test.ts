import { describe, expect, test } from "bun:test";
import { PREFACE } from "../../../../src/proxy/codec/http2/preface.ts";
import {
  ACK,
  CLIENT_HELLO,
  data,
  frame,
  GET,
  headers,
  PADDED,
  POST,
  settings,
  uint32,
} from "../../../support/http2-frames.ts";
import { makeServer } from "../../../support/http2-server.ts";
import { responseHead } from "../../../support/stream-recorder.ts";

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
