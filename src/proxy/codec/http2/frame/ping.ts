/** PING: is the peer there, and has it read what was sent before (RFC 9113 §6.7). */

import type { FrameWriter } from "../frame-writer.ts";
import { ACK, FRAME_HEADER_BYTES, type FrameView, requireLength, requireNoStream } from "./frame.ts";

export const PING = 0x6;

const OPAQUE_BYTES = 8;

/** Opaque data of the PING that tells when a draining client has seen our first GOAWAY. */
export const DRAIN_PING = Buffer.from("hdldrain", "latin1");
/** That of a PING which only wants to be answered. */
export const ALIVE_PING = Buffer.from("hdlalive", "latin1");

/** Checks the frame; its view then is the eight opaque bytes. */
export function readPing(frame: FrameView): void {
  requireNoStream(frame);
  requireLength(frame, OPAQUE_BYTES);
}

/** Writes eight opaque bytes from `bytes[start]` on. */
export function writePing(writer: FrameWriter, bytes: Uint8Array, start: number, ack: boolean): void {
  writer.reserve(FRAME_HEADER_BYTES + OPAQUE_BYTES);
  writer.frameHeader(OPAQUE_BYTES, PING, ack ? ACK : 0, 0);
  writer.copy(bytes.subarray(start, start + OPAQUE_BYTES));
}
