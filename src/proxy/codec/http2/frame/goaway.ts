/** GOAWAY: no more streams; those above the last identifier were not and will not be processed (RFC 9113 §6.8). */

import { ConnectionError, FRAME_SIZE_ERROR } from "../error.ts";
import type { FrameWriter } from "../frame-writer.ts";
import { FRAME_HEADER_BYTES, type FrameView, readUint31, readUint32, requireNoStream } from "./frame.ts";

export const GOAWAY = 0x7;

const FIXED_BYTES = 8;

/** The debug data is not read: what a peer sent never gets into our logs. */
export function readGoaway(frame: FrameView): { lastStreamId: number; code: number } {
  requireNoStream(frame);
  if (frame.end - frame.start < FIXED_BYTES) throw new ConnectionError(FRAME_SIZE_ERROR, "goaway_truncated");
  return { lastStreamId: readUint31(frame.bytes, frame.start), code: readUint32(frame.bytes, frame.start + 4) };
}

/** `detail` goes out as debug data, so that the peer's operator sees what ours sees. */
export function writeGoaway(writer: FrameWriter, lastStreamId: number, code: number, detail: string): void {
  const length = FIXED_BYTES + detail.length;
  writer.reserve(FRAME_HEADER_BYTES + length);
  writer.frameHeader(length, GOAWAY, 0, 0);
  writer.uint32(lastStreamId);
  writer.uint32(code);
  writer.latin1(detail);
}
