/** PRIORITY: deprecated (RFC 9113 §6.3); read for its size and for a stream that depends on itself, else ignored. */

import { type FrameView, readUint31, requireStream } from "./frame.ts";

export const PRIORITY = 0x2;

/** Dependency and weight, as in a PRIORITY frame and in HEADERS with the flag. */
export const PRIORITY_BYTES = 5;

/**
 * The stream that the frame's stream depends on, or undefined when the size is wrong: a stream error, not one of the
 * connection (§6.3).
 */
export function readPriority(frame: FrameView): number | undefined {
  requireStream(frame);
  if (frame.end - frame.start !== PRIORITY_BYTES) return undefined;
  return readUint31(frame.bytes, frame.start);
}
