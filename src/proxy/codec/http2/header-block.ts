import { CONTINUATIONS_MAX, Nuisance } from "./bounds.ts";
import { ConnectionError, ENHANCE_YOUR_CALM } from "./error.ts";
import type { FloodGuard } from "./flood-guard.ts";
import type { FrameView } from "./frame/frame.ts";

/** A field block that comes in pieces: HEADERS, then CONTINUATION (RFC 9113 §4.3). Bounded in bytes and in frames. */
export class HeaderBlock {
  readonly #flood: FloodGuard;
  readonly #bytesMax: number;
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** The stream whose block is open: nothing but its CONTINUATION may follow. 0: none is open. */
  streamId = 0;
  endStream = false;

  constructor(flood: FloodGuard, bytesMax: number) {
    this.#flood = flood;
    this.#bytesMax = bytesMax;
  }

  begin(frame: FrameView, endStream: boolean): void {
    this.streamId = frame.streamId;
    this.endStream = endStream;
    this.append(frame);
  }

  /** Adds a frame's fragment; throws ENHANCE_YOUR_CALM beyond the bounds: a block cannot be skipped. */
  append(frame: FrameView): void {
    const length = frame.end - frame.start;
    if (length === 0) this.#flood.spend(Nuisance.EmptyFrame);
    this.#bytes += length;
    if (this.#bytes > this.#bytesMax) throw new ConnectionError(ENHANCE_YOUR_CALM, "field_block_too_large");
    if (this.#pieces.length > CONTINUATIONS_MAX) throw new ConnectionError(ENHANCE_YOUR_CALM, "too_many_continuations");
    this.#pieces.push(frame.bytes.subarray(frame.start, frame.end));
  }

  /** Closes the block and returns it in one piece. */
  finish(): Buffer {
    const block = Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [];
    this.#bytes = 0;
    this.streamId = 0;
    return block;
  }
}
