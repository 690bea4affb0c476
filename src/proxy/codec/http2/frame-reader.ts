import { FRAME_BYTES_MAX } from "./bounds.ts";
import { ConnectionError, FRAME_SIZE_ERROR } from "./error.ts";
import { FRAME_HEADER_BYTES, FrameView, readUint24, readUint31 } from "./frame/frame.ts";

/**
 * Cuts the byte stream into frames (RFC 9113 §4.1). Frames that lie whole in a chunk are handed on where they lie; only
 * one that spans chunks is copied, into memory of its own, so that the receiver may keep a part of either.
 */
export class FrameReader {
  readonly #onFrame: (frame: FrameView) => void;
  readonly #view = new FrameView();
  /** The beginning of a frame whose rest is yet to come. */
  #carry: Buffer = Buffer.alloc(FRAME_HEADER_BYTES);
  #carried = 0;
  #stopped = false;

  /** `onFrame` gets the same view every time and must not keep it. */
  constructor(onFrame: (frame: FrameView) => void) {
    this.#onFrame = onFrame;
  }

  /** Reads a chunk, which is ours from now on. Throws FRAME_SIZE_ERROR on a frame beyond the size that we allow. */
  read(bytes: Uint8Array): void {
    const chunk = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = this.#carried === 0 ? 0 : this.#completeCarry(chunk);
    while (!this.#stopped && chunk.length - at >= FRAME_HEADER_BYTES) {
      const frameBytes = FRAME_HEADER_BYTES + payloadLength(chunk, at);
      if (chunk.length - at < frameBytes) break;
      this.#emit(chunk, at, frameBytes);
      at += frameBytes;
    }
    if (!this.#stopped && at < chunk.length) this.#startCarry(chunk, at);
  }

  /** Hands on no more frames, not even those left in the chunk being read. */
  stop(): void {
    this.#stopped = true;
  }

  #emit(bytes: Buffer, at: number, frameBytes: number): void {
    const view = this.#view;
    view.type = bytes[at + 3] ?? 0;
    view.flags = bytes[at + 4] ?? 0;
    view.streamId = readUint31(bytes, at + 5);
    view.bytes = bytes;
    view.start = at + FRAME_HEADER_BYTES;
    view.end = at + frameBytes;
    this.#onFrame(view);
  }

  #startCarry(chunk: Buffer, at: number): void {
    const available = chunk.length - at;
    const known = available >= FRAME_HEADER_BYTES;
    this.#carry = Buffer.alloc(FRAME_HEADER_BYTES + (known ? payloadLength(chunk, at) : 0));
    this.#carry.set(chunk.subarray(at));
    this.#carried = available;
  }

  /** Fills the carried frame from the chunk and hands it on when whole; returns where the chunk's own frames begin. */
  #completeCarry(chunk: Buffer): number {
    let at = this.#fill(chunk, 0);
    if (this.#carried < FRAME_HEADER_BYTES) return at;
    if (this.#carried === FRAME_HEADER_BYTES && this.#carry.length === FRAME_HEADER_BYTES) {
      const whole = Buffer.alloc(FRAME_HEADER_BYTES + payloadLength(this.#carry, 0));
      whole.set(this.#carry);
      this.#carry = whole;
      at = this.#fill(chunk, at);
    }
    if (this.#carried < this.#carry.length) return at;
    const frame = this.#carry;
    this.#carried = 0;
    this.#emit(frame, 0, frame.length);
    return at;
  }

  #fill(chunk: Buffer, at: number): number {
    const taken = Math.min(chunk.length - at, this.#carry.length - this.#carried);
    this.#carry.set(chunk.subarray(at, at + taken), this.#carried);
    this.#carried += taken;
    return at + taken;
  }
}

function payloadLength(bytes: Uint8Array, at: number): number {
  const length = readUint24(bytes, at);
  if (length > FRAME_BYTES_MAX) throw new ConnectionError(FRAME_SIZE_ERROR, "frame_too_large");
  return length;
}
