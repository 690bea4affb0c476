/** HEADERS: opens a stream, or ends it with trailers (RFC 9113 §6.2). Written by `FrameWriter.endBlock`. */

import { ConnectionError, FRAME_SIZE_ERROR } from "../error.ts";
import { type FrameView, has, PRIORITY_PRESENT, readUint31, requireStream, stripPadding } from "./frame.ts";
import { PRIORITY_BYTES } from "./priority.ts";

export const HEADERS = 0x1;

/**
 * Checks the frame and narrows it to its field block fragment. Returns the stream that it depends on, 0 for none:
 * priorities are ignored, but for a stream that depends on itself.
 */
export function readHeaders(frame: FrameView): number {
  requireStream(frame);
  stripPadding(frame);
  if (!has(frame, PRIORITY_PRESENT)) return 0;
  if (frame.end - frame.start < PRIORITY_BYTES) throw new ConnectionError(FRAME_SIZE_ERROR, "priority_truncated");
  const dependency = readUint31(frame.bytes, frame.start);
  frame.start += PRIORITY_BYTES;
  return dependency;
}
