/** RST_STREAM: ends one stream at once (RFC 9113 §6.4). */

import type { FrameWriter } from "../frame-writer.ts";
import { FRAME_HEADER_BYTES, type FrameView, readUint32, requireLength, requireStream } from "./frame.ts";

export const RST_STREAM = 0x3;

/** The error code. */
export function readRstStream(frame: FrameView): number {
  requireStream(frame);
  requireLength(frame, 4);
  return readUint32(frame.bytes, frame.start);
}

/** Stages the frame. */
export function writeRstStream(writer: FrameWriter, streamId: number, code: number): void {
  writer.reserve(FRAME_HEADER_BYTES + 4);
  writer.frameHeader(4, RST_STREAM, 0, streamId);
  writer.uint32(code);
}
