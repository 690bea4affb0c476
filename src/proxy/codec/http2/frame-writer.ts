import type { ConnectionOutput } from "../message.ts";
import { FRAME_BYTES_MAX, WRITE_SLAB_BYTES } from "./bounds.ts";
import { CONTINUATION } from "./frame/continuation.ts";
import { END_HEADERS, END_STREAM, FRAME_HEADER_BYTES } from "./frame/frame.ts";
import { HEADERS } from "./frame/headers.ts";

/** Up to this length a loop beats the call into the runtime. */
const LOOPED_TEXT_MAX = 32;

/**
 * Stages frames in a slab, of which the output takes a copy in few writes: one slab serves a connection for its life.
 * `reserve` first, then write at `at`.
 */
export class FrameWriter {
  readonly #output: ConnectionOutput;
  /** The slab, and where the next byte goes: what stands before that is staged. HPACK writes here directly. */
  bytes: Buffer = Buffer.allocUnsafeSlow(WRITE_SLAB_BYTES);
  at = 0;
  /** Where the open field block's frame header stands; -1: no block is open. */
  #block = -1;

  constructor(output: ConnectionOutput) {
    this.#output = output;
  }

  /** Bytes that the peer has yet to take, staged ones included. */
  get queuedBytes(): number {
    return this.#output.queuedBytes + this.at;
  }

  /** Makes room for `length` bytes in one piece; an open field block moves along. */
  reserve(length: number): void {
    if (this.at + length > this.bytes.length) this.#makeRoom(length);
  }

  #makeRoom(length: number): void {
    const whole = this.#block < 0 ? this.at : this.#block;
    this.#output.writeCopy(this.bytes, 0, whole);
    const open = this.at - whole;
    // A field block that is longer than the slab gets one of its own, until it is flushed.
    const roomy = open + length > this.bytes.length ? Buffer.allocUnsafeSlow(2 * (open + length)) : this.bytes;
    this.bytes.copy(roomy, 0, whole, this.at);
    this.bytes = roomy;
    this.at = open;
    if (this.#block >= 0) this.#block = 0;
  }

  /** Hands what is staged to the output. Not while a field block is open. */
  flush(): void {
    if (this.at === 0) return;
    this.#output.writeCopy(this.bytes, 0, this.at);
    this.at = 0;
    if (this.bytes.length > WRITE_SLAB_BYTES) this.bytes = Buffer.allocUnsafeSlow(WRITE_SLAB_BYTES);
  }

  frameHeader(length: number, type: number, flags: number, streamId: number): void {
    const { bytes, at } = this;
    bytes[at] = length >>> 16;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length;
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    this.at = at + 5;
    this.uint32(streamId);
  }

  uint16(value: number): void {
    this.bytes[this.at] = value >>> 8;
    this.bytes[this.at + 1] = value;
    this.at += 2;
  }

  uint32(value: number): void {
    const { bytes, at } = this;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    this.at = at + 4;
  }

  /** Writes each character's low byte; the caller vouches for latin1. */
  latin1(text: string): void {
    const { bytes, at } = this;
    const length = text.length;
    if (length <= LOOPED_TEXT_MAX) for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
    else bytes.write(text, at, "latin1");
    this.at = at + length;
  }

  /** Copies into the slab. */
  copy(payload: Uint8Array): void {
    this.bytes.set(payload, this.at);
    this.at += payload.length;
  }

  /** Hands a large payload to the output as it is, behind what is staged. */
  hand(payload: Uint8Array): void {
    this.flush();
    this.#output.write(payload);
  }

  /** Opens a field block: HPACK then writes it straight behind the place of its frame header. */
  beginBlock(): void {
    this.reserve(FRAME_HEADER_BYTES);
    this.#block = this.at;
    this.at += FRAME_HEADER_BYTES;
  }

  /** Closes the block as HEADERS and, where it is longer than a frame, CONTINUATION (RFC 9113 §6.2, §6.10). */
  endBlock(streamId: number, endStream: boolean): void {
    const begin = this.#block;
    const length = this.at - begin - FRAME_HEADER_BYTES;
    const flags = endStream ? END_STREAM : 0;
    this.#block = -1;
    if (length > FRAME_BYTES_MAX) {
      this.#endLongBlock(begin, flags, streamId);
      return;
    }
    const end = this.at;
    this.at = begin;
    this.frameHeader(length, HEADERS, flags | END_HEADERS, streamId);
    this.at = end;
  }

  #endLongBlock(begin: number, flags: number, streamId: number): void {
    const block = new Uint8Array(this.bytes.subarray(begin + FRAME_HEADER_BYTES, this.at));
    this.at = begin;
    for (let from = 0; from < block.length; from += FRAME_BYTES_MAX) {
      const piece = block.subarray(from, from + FRAME_BYTES_MAX);
      const last = from + FRAME_BYTES_MAX >= block.length ? END_HEADERS : 0;
      this.reserve(FRAME_HEADER_BYTES + piece.length);
      this.frameHeader(piece.length, from === 0 ? HEADERS : CONTINUATION, (from === 0 ? flags : 0) | last, streamId);
      this.copy(piece);
    }
  }
}
