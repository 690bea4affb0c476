/** What all frames share: the nine-byte header (RFC 9113 §4.1), flags, padding, and numbers in network order. */

import { ConnectionError, FRAME_SIZE_ERROR, PROTOCOL_ERROR } from "../error.ts";

export const FRAME_HEADER_BYTES = 9;

export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
const PADDED = 0x8;
export const PRIORITY_PRESENT = 0x20;

/** One frame as it lies in memory. The reader fills the same view for every frame: nothing may keep it. */
export class FrameView {
  type = 0;
  flags = 0;
  streamId = 0;
  bytes: Buffer = Buffer.alloc(0);
  /** Where the payload begins in `bytes`; moves past padding length and priority as they are read. */
  start = 0;
  /** Where it ends; padding is taken off. */
  end = 0;
}

/** Whether the frame has a flag. */
export function has(frame: FrameView, flag: number): boolean {
  return (frame.flags & flag) !== 0;
}

export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function readUint24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (readUint24(bytes, at) * 0x100 + (bytes[at + 3] ?? 0)) >>> 0;
}

/** 31 bits behind a reserved one, which is ignored on receipt (RFC 9113 §4.1). */
export function readUint31(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) & 0x7fff_ffff;
}

/** Frames of a stream must name one; throws PROTOCOL_ERROR. */
export function requireStream(frame: FrameView): void {
  if (frame.streamId === 0) throw new ConnectionError(PROTOCOL_ERROR, "frame_without_stream");
}

/** Frames of the connection must not name a stream; throws PROTOCOL_ERROR. */
export function requireNoStream(frame: FrameView): void {
  if (frame.streamId !== 0) throw new ConnectionError(PROTOCOL_ERROR, "frame_with_stream");
}

/** Throws FRAME_SIZE_ERROR unless the payload has exactly this length. */
export function requireLength(frame: FrameView, length: number): void {
  if (frame.end - frame.start !== length) throw new ConnectionError(FRAME_SIZE_ERROR, "frame_length_wrong");
}

/** Narrows the view to what is inside the padding (RFC 9113 §6.1); throws when the padding does not fit. */
export function stripPadding(frame: FrameView): void {
  if (!has(frame, PADDED)) return;
  if (frame.start === frame.end) throw new ConnectionError(FRAME_SIZE_ERROR, "pad_length_missing");
  const padBytes = frame.bytes[frame.start] ?? 0;
  frame.start++;
  if (padBytes > frame.end - frame.start) throw new ConnectionError(PROTOCOL_ERROR, "padding_exceeds_payload");
  frame.end -= padBytes;
}
