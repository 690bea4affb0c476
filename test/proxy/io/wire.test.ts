/** The wire over real sockets: Bun's own answers to partial writes, half-closes and resets are part of what is tested. */

import { afterEach, expect, test } from "bun:test";
import type { Socket, TCPSocketListener } from "bun";
import { Wire } from "../../../src/proxy/io/wire.ts";
import { eventually } from "../../support/mesh.ts";
import { RecordingInput } from "../../support/recording-input.ts";

interface Peer {
  socket: Socket<undefined> | undefined;
  readonly chunks: Buffer[];
  ended: boolean;
  closed: boolean;
}

interface Pair {
  readonly wire: Wire;
  readonly input: RecordingInput;
  readonly peer: Peer;
  closedCalls: number;
}

const listeners: TCPSocketListener<undefined>[] = [];
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.stop(true);
});

/** A wire and the plain socket at its other end. */
async function connectPair(options: { paused?: boolean } = {}): Promise<Pair> {
  const peer: Peer = { socket: undefined, chunks: [], ended: false, closed: false };
  const accepted = Promise.withResolvers<void>();
  const listener = Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        if (options.paused === true) socket.pause();
        peer.socket = socket;
        accepted.resolve();
      },
      data: (_socket, chunk) => void peer.chunks.push(Buffer.from(chunk)),
      end: () => {
        peer.ended = true;
      },
      close: () => {
        peer.closed = true;
      },
      error() {},
    },
  });
  listeners.push(listener);
  const input = new RecordingInput();
  const wire = new Wire(() => {
    pair.closedCalls++;
  });
  const pair: Pair = { wire, input, peer, closedCalls: 0 };
  await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.port,
    allowHalfOpen: true,
    socket: {
      open: (socket) => wire.attach(socket, input),
      data: (_socket, chunk) => wire.received(chunk),
      drain: () => wire.drainedSocket(),
      end: () => wire.receivedEnd(),
      close: (_socket, error) => wire.closedSocket(error),
      error() {},
    },
  });
  await accepted.promise;
  return pair;
}

const received = ({ peer }: Pair): Buffer => Buffer.concat(peer.chunks);

test("what is written before the socket is there goes out once it is", async () => {
  const input = new RecordingInput();
  const wire = new Wire(() => {});
  wire.write("early");
  const got = Promise.withResolvers<string>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (_socket, chunk) => got.resolve(chunk.toString()) },
  });
  listeners.push(listener);
  await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.port,
    socket: { open: (socket) => wire.attach(socket, input), data() {}, close: () => wire.closedSocket() },
  });
  expect(await got.promise).toBe("early");
  wire.destroy();
});

test("strings, small and large chunks keep their order, whatever way each takes", async () => {
  const pair = await connectPair();
  const pieces: Buffer[] = [];
  // Around the bounds between copying, queueing and a buffer of one's own: 4 KiB and 16 KiB.
  for (const [index, length] of [1, 4_095, 4_096, 3, 16_383, 16_384, 16_385, 40_000, 0, 7, 100_000, 2].entries()) {
    const piece = Buffer.alloc(length, 97 + index);
    pieces.push(piece);
    pair.wire.write(index % 2 === 0 ? piece.toString("latin1") : piece);
  }
  const all = Buffer.concat(pieces);
  expect(pair.wire.queuedBytes).toBe(all.length);
  await eventually(() => expect(received(pair).length).toBe(all.length));
  expect(received(pair).equals(all)).toBe(true);
  expect([pair.wire.queuedBytes, pair.wire.bytesWritten]).toEqual([0, all.length]);
  pair.wire.destroy();
});

test("strings are latin1", async () => {
  const pair = await connectPair();
  pair.wire.write("\xe4\xff");
  await eventually(() => expect([...received(pair)]).toEqual([0xe4, 0xff]));
  pair.wire.destroy();
});

test("the writes of one turn go out together", async () => {
  const pair = await connectPair();
  for (let index = 0; index < 40; index++) pair.wire.write("x");
  expect(pair.wire.bytesWritten).toBe(0);
  await eventually(() => expect(received(pair).length).toBe(40));
  expect(pair.peer.chunks).toHaveLength(1);
  pair.wire.destroy();
});

test("what the kernel does not take waits, in order, and the codec hears when it is gone", async () => {
  const pair = await connectPair({ paused: true });
  const total = 24 * 1024 * 1024;
  const chunk = Buffer.alloc(64 * 1024);
  for (let at = 0; at < total; at += chunk.length) {
    pair.wire.write(Buffer.alloc(chunk.length, (at / chunk.length) & 0xff));
    pair.wire.write(String.fromCharCode((at / chunk.length) & 0xff));
  }
  const whole = pair.wire.queuedBytes;
  await eventually(() => expect(pair.wire.bytesWritten).toBeGreaterThan(0));
  await Bun.sleep(20);
  expect(pair.wire.queuedBytes).toBeGreaterThan(0);
  expect(pair.wire.queuedBytes + pair.wire.bytesWritten).toBe(whole);
  expect(pair.input.drains).toBe(0);
  pair.peer.socket?.resume();
  await eventually(() => expect(received(pair).length).toBe(whole));
  const bytes = received(pair);
  for (let at = 0, index = 0; at < whole; at += chunk.length + 1, index++) {
    if (bytes[at] !== (index & 0xff) || bytes[at + chunk.length] !== (index & 0xff)) throw new Error(`at ${at}`);
  }
  await eventually(() => expect(pair.input.drains).toBeGreaterThan(0));
  pair.wire.destroy();
});

test("a socket that takes everything at once reports no drain, and the codec hears of it all the same", async () => {
  const pair = await connectPair();
  pair.wire.write(Buffer.alloc(300_000));
  await eventually(() => expect(pair.input.drains).toBe(1));
  expect(pair.wire.queuedBytes).toBe(0);
  pair.wire.destroy();
});

test("end: what is queued goes out first, what comes after is dropped, and the peer can still send", async () => {
  const pair = await connectPair();
  pair.wire.write(Buffer.alloc(2_000_000, 1));
  pair.wire.end();
  pair.wire.write("too late");
  await eventually(() => expect(pair.peer.ended).toBe(true));
  expect(received(pair).length).toBe(2_000_000);
  expect(pair.peer.closed).toBe(false);
  pair.peer.socket?.write("still here");
  await eventually(() => expect(pair.input.text).toBe("still here"));
  pair.peer.socket?.end();
  await eventually(() => expect(pair.wire.closed).toBe(true));
  expect([pair.input.ends, pair.input.closes, pair.closedCalls]).toEqual([1, 1, 1]);
});

test("the peer's half-close is told once, and our side can still send", async () => {
  const pair = await connectPair();
  pair.peer.socket?.shutdown();
  await eventually(() => expect(pair.input.ends).toBe(1));
  pair.wire.write("answer");
  await eventually(() => expect(received(pair).toString()).toBe("answer"));
  expect(pair.wire.closed).toBe(false);
  pair.wire.end();
  await eventually(() => expect(pair.peer.closed).toBe(true));
  await eventually(() => expect(pair.wire.closed).toBe(true));
  expect([pair.input.ends, pair.input.closes, pair.closedCalls]).toEqual([1, 1, 1]);
});

test("destroy drops what is queued; the codec hears of the end once", async () => {
  const pair = await connectPair({ paused: true });
  pair.wire.write(Buffer.alloc(30_000_000));
  pair.wire.destroy();
  pair.wire.destroy();
  await eventually(() => expect(pair.wire.closed).toBe(true));
  expect([pair.input.closes, pair.closedCalls, pair.wire.queuedBytes]).toEqual([1, 1, 0]);
  pair.wire.write("into the void");
  pair.wire.end();
  await Bun.sleep(10);
  expect(pair.input.closes).toBe(1);
});

test("a reset by the peer is a close without an end", async () => {
  const pair = await connectPair();
  pair.peer.socket?.terminate();
  await eventually(() => expect(pair.wire.closed).toBe(true));
  expect([pair.input.closes, pair.closedCalls]).toEqual([1, 1]);
});

test("a reset while much is queued ends the wire, too", async () => {
  const pair = await connectPair({ paused: true });
  pair.wire.write(Buffer.alloc(30_000_000));
  await eventually(() => expect(pair.wire.bytesWritten).toBeGreaterThan(0));
  pair.peer.socket?.terminate();
  await eventually(() => expect(pair.wire.closed).toBe(true));
  expect([pair.input.closes, pair.wire.queuedBytes]).toEqual([1, 0]);
});

test("paused reading holds the peer's bytes back, and loses none", async () => {
  const pair = await connectPair();
  pair.wire.pauseReading();
  await Bun.sleep(5);
  pair.peer.socket?.write("held");
  await Bun.sleep(30);
  expect(pair.input.text).toBe("");
  pair.wire.resumeReading();
  await eventually(() => expect(pair.input.text).toBe("held"));
  pair.wire.destroy();
});

test("a peer that does nothing after our half-close is not waited for without end", async () => {
  const pair = await connectPair();
  pair.wire.end();
  await eventually(() => expect(pair.peer.ended).toBe(true));
  await eventually(() => expect(pair.wire.closed).toBe(true), 8_000);
  expect(pair.closedCalls).toBe(1);
}, 12_000);

test("a copy is taken at once, in its place among what else is written, however long it is", async () => {
  const pair = await connectPair();
  const expected: Buffer[] = [];
  const scratch = Buffer.alloc(50_000);
  for (const [index, length] of [0, 1, 10, 5_000, 16_384, 1, 50_000, 7].entries()) {
    scratch.fill(index + 1);
    pair.wire.writeCopy(scratch, scratch.length - length, scratch.length);
    expected.push(Buffer.from(scratch.subarray(0, length)));
    // Large enough to be kept as it is.
    const kept = Buffer.alloc(index % 2 === 0 ? 6_000 : 3, 0x40 + index);
    pair.wire.write(kept);
    expected.push(kept);
  }
  scratch.fill(0);
  const whole = Buffer.concat(expected);
  await eventually(() => expect(received(pair).length).toBe(whole.length));
  expect(received(pair).equals(whole)).toBe(true);
});
