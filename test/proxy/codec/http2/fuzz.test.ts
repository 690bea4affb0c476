/** Garbage in, no crash out, and whole frames all the same. */

import { expect, test } from "bun:test";
import { Http2ClientConnection } from "../../../../src/proxy/codec/http2/client-connection.ts";
import { Http2ServerConnection } from "../../../../src/proxy/codec/http2/server-connection.ts";
import type { ConnectionInput } from "../../../../src/proxy/codec/message.ts";
import { DEFAULT_LIMITS } from "../../../../src/proxy/limits.ts";
import { fuzz } from "../../../support/fuzz.ts";
import {
  CLIENT_HELLO,
  data,
  frame,
  GET,
  headers,
  POST,
  parseFrames,
  SERVER_HELLO,
  settings,
  uint32,
} from "../../../support/http2-frames.ts";
import { MemoryOutput } from "../../../support/memory-output.ts";
import { integers } from "../../../support/random.ts";
import { requestHead, responseHead, StreamRecorder } from "../../../support/stream-recorder.ts";

type Random = (below: number) => number;

/** One frame, well-formed more often than not, then perhaps with a byte changed. */
function randomFrame(random: Random): Buffer {
  const id = random(12);
  const bytes = pickFrame(random, id);
  if (random(4) === 0) bytes[random(bytes.length)] = random(256);
  return bytes;
}

function pickFrame(random: Random, id: number): Buffer {
  switch (random(10)) {
    case 0:
      return headers(id, random(2) === 0 ? GET : POST, random(2) === 0);
    case 1:
      return headers(id, [[":status", "200"]], random(2) === 0);
    case 2:
      return data(id, Buffer.alloc(random(2000)), random(3) === 0);
    case 3:
      return frame("WINDOW_UPDATE", 0, id, uint32(random(4) === 0 ? 0x7fffffff : random(70_000)));
    case 4:
      return frame("RST_STREAM", 0, id, uint32(random(14)));
    case 5:
      return settings([random(10), random(3) === 0 ? random(2 ** 31) : random(70_000)]);
    case 6:
      return frame("PING", random(2), 0, "12345678");
    case 7:
      return frame("GOAWAY", 0, 0, uint32(random(12), 0));
    case 8:
      return frame("CONTINUATION", random(8), id, [0x82]);
    default: {
      const payload = Uint8Array.from({ length: random(40) }, () => random(256));
      return frame(random(11), random(256), id, payload);
    }
  }
}

/** Feeds one connection until it ends, in random cuts; checks that it goes on speaking whole frames. */
function torment(random: Random, connection: ConnectionInput, output: MemoryOutput, act: () => void): void {
  const spoken: Buffer[] = [];
  for (let i = 0; i < 60 && !output.ended; i++) {
    const bytes = randomFrame(random);
    const cut = random(bytes.length);
    connection.receive(Buffer.from(bytes.subarray(0, cut)));
    connection.receive(Buffer.from(bytes.subarray(cut)));
    act();
    spoken.push(output.take());
    connection.drained();
  }
  connection.receiveClose();
  expect(() => parseFrames(Buffer.concat(spoken))).not.toThrow();
}

test("the server survives whatever comes in", () => {
  fuzz("HTTP/2 server", (seed) => {
    const random = integers(seed);
    const output = new MemoryOutput();
    const connection: Http2ServerConnection = new Http2ServerConnection({
      output,
      limits: { ...DEFAULT_LIMITS, headBytesMax: 4096, streamWindowBytes: 3000 },
      scheme: "http",
      accept: (stream) => {
        const recorder = new StreamRecorder();
        const onHead = recorder.onHead.bind(recorder);
        recorder.onHead = (head, end) => {
          onHead(head, end);
          if (random(3) === 0) stream.pause();
          if (random(5) === 0) stream.reset({ kind: "cancelled", detail: "fuzz" });
          else stream.sendHead(responseHead(), false);
          stream.sendData(Buffer.alloc(random(100_000)), random(2) === 0);
        };
        return recorder;
      },
    });
    output.take();
    connection.receive(CLIENT_HELLO);
    torment(random, connection, output, () => random(50) === 0 && connection.drain());
    expect(connection.openStreams).toBe(0);
  });
});

test("the client survives whatever comes in", () => {
  fuzz("HTTP/2 client", (seed) => {
    const random = integers(seed);
    const output = new MemoryOutput();
    const connection = new Http2ClientConnection({ output, limits: { ...DEFAULT_LIMITS, headBytesMax: 4096 } });
    output.take();
    connection.receive(SERVER_HELLO);
    const recorders: StreamRecorder<never>[] = [];
    torment(random, connection, output, () => {
      if (connection.capacity < 1 || random(2) === 0) return;
      const recorder = new StreamRecorder<never>();
      recorders.push(recorder);
      const stream = connection.open(recorder);
      if (random(10) === 0) return;
      stream.sendHead(requestHead({ method: "POST", upgrade: random(5) === 0 ? "websocket" : undefined }), false);
      stream.sendData(Buffer.alloc(random(100_000)), random(2) === 0);
    });
    expect(connection.openStreams).toBe(0);
    // Everyone has heard how it ended, or has a whole response.
    for (const recorder of recorders) expect(recorder.ended || recorder.fault !== undefined).toBe(true);
  });
});
