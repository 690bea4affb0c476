import { expect, test } from "bun:test";
import { FRAME_BYTES_MAX } from "../../../../src/proxy/codec/http2/bounds.ts";
import { FRAME_HEADER_BYTES } from "../../../../src/proxy/codec/http2/frame/frame.ts";
import { FrameWriter } from "../../../../src/proxy/codec/http2/frame-writer.ts";
import { MemoryOutput } from "../../../support/memory-output.ts";

const DATA = 0;
const PAYLOAD = Buffer.from("0123456789abcdef", "latin1");

/** Payloads of the frames, those of one field block joined. */
function payloads(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  let isOpen = false;
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const payload = bytes.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + length);
    found.push(isOpen ? Buffer.concat([found.pop() ?? PAYLOAD, payload]) : payload);
    isOpen = bytes[at + 3] !== DATA && ((bytes[at + 4] ?? 0) & 0x4) === 0;
    at += FRAME_HEADER_BYTES + length;
  }
  return found;
}

test("frames and field blocks of any length come out whole and in order, flushed or not", () => {
  const output = new MemoryOutput();
  const writer = new FrameWriter(output);
  const expected: Buffer[] = [];
  for (const pieces of [1, 3, 900, 1_022, 1_023, 1_024, 1_025, 5, 2_500, 70_000 / 16, 1, 2]) {
    writer.beginBlock();
    for (let piece = 0; piece < pieces; piece++) {
      writer.reserve(PAYLOAD.length);
      writer.copy(PAYLOAD);
    }
    writer.endBlock(1, false);
    expected.push(Buffer.alloc(Math.ceil(pieces) * PAYLOAD.length, PAYLOAD));
    for (const length of [0, 100, 4_000]) {
      const body = Buffer.alloc(length, expected.length);
      writer.reserve(FRAME_HEADER_BYTES + length);
      writer.frameHeader(length, DATA, 0, 1);
      writer.copy(body);
      expected.push(body);
    }
    if (expected.length % 3 === 0) writer.flush();
    expect(writer.queuedBytes).toBe(output.queuedBytes + writer.at);
  }
  writer.flush();
  expect(writer.queuedBytes).toBe(output.queuedBytes);
  const bytes = output.take();
  expect(payloads(bytes).map((payload) => payload.length)).toEqual(expected.map((payload) => payload.length));
  expect(Buffer.concat(payloads(bytes)).equals(Buffer.concat(expected))).toBe(true);
  expect(Math.max(...payloads(bytes).map(({ length }) => length))).toBeGreaterThan(FRAME_BYTES_MAX);
});
