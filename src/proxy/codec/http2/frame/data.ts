/** DATA: the body of a message (RFC 9113 §6.1). */

import { COPIED_PAYLOAD_BYTES_MAX } from "../bounds.ts";
import type { FrameWriter } from "../frame-writer.ts";
import { END_STREAM, FRAME_HEADER_BYTES, type FrameView, requireStream, stripPadding } from "./frame.ts";

export const DATA = 0x0;

/** Checks the frame and narrows it to its data. The padding counts for flow control: take the length before. */
export function readData(frame: FrameView): void {
  requireStream(frame);
  stripPadding(frame);
}

/** Writes `chunk[start, end)` as one frame; the caller keeps to windows and frame size. */
export function writeData(
  writer: FrameWriter,
  streamId: number,
  chunk: Uint8Array,
  start: number,
  end: number,
  endStream: boolean,
): void {
  const length = end - start;
  const copied = length <= COPIED_PAYLOAD_BYTES_MAX;
  writer.reserve(copied ? FRAME_HEADER_BYTES + length : FRAME_HEADER_BYTES);
  writer.frameHeader(length, DATA, endStream ? END_STREAM : 0, streamId);
  const whole = length === chunk.length;
  if (copied) writer.copy(whole ? chunk : chunk.subarray(start, end));
  else writer.hand(whole ? chunk : chunk.subarray(start, end));
}
