/** WINDOW_UPDATE: grants the sender more bytes, on one stream or on the connection (RFC 9113 §6.9). */

import type { FrameWriter } from "../frame-writer.ts";
import { FRAME_HEADER_BYTES, type FrameView, readUint31, requireLength } from "./frame.ts";

export const WINDOW_UPDATE = 0x8;

/** The increment in bytes; 0 is an error of the stream or, on stream 0, of the connection (§6.9). */
export function readWindowUpdate(frame: FrameView): number {
  requireLength(frame, 4);
  return readUint31(frame.bytes, frame.start);
}

/** Stages the frame; stream 0 is the connection. */
export function writeWindowUpdate(writer: FrameWriter, streamId: number, increment: number): void {
  writer.reserve(FRAME_HEADER_BYTES + 4);
  writer.frameHeader(4, WINDOW_UPDATE, 0, streamId);
  writer.uint32(increment);
}
