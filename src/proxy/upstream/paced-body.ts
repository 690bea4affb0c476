/** One direction of a body, let through no faster than so many bytes a second. */

import type { HeaderList } from "../codec/message.ts";
import type { BodyPart } from "../held-request.ts";
import { Timer } from "../io/timers.ts";
import type { Runtime } from "../runtime.ts";

/** How much goes at once: little enough to be even, enough to be worth a write. */
const SLICE_MS = 50;

/** Who takes what is let through. */
export interface PacedSink {
  /** False: nothing more until `unblock`. */
  data(chunk: Uint8Array, end: boolean): boolean;
  trailers(trailers: HeaderList): void;
  /** Nothing is held any more, after `push` returned false. */
  drained(): void;
}

/**
 * The sender is told to stop while anything is held, so that no more is held than was on its way: a window, or one read
 * of the socket.
 */
export class PacedBody {
  readonly #runtime: Runtime;
  readonly #bytesPerSecond: number;
  readonly #sliceBytes: number;
  readonly #sink: PacedSink;
  readonly #timer = new Timer(() => this.#pump());
  #held: BodyPart[] = [];
  /** When the next slice may go. */
  #dueMs = 0;
  #blocked = false;
  #senderStopped = false;
  #pumping = false;

  constructor(runtime: Runtime, bytesPerSecond: number, sink: PacedSink) {
    this.#runtime = runtime;
    this.#bytesPerSecond = bytesPerSecond;
    this.#sliceBytes = Math.max(1, Math.floor((bytesPerSecond * SLICE_MS) / 1000));
    this.#sink = sink;
  }

  /** False: hold the rest back until `drained`. Copies the bytes: those of a codec are its own again afterwards. */
  push(chunk: Uint8Array, end: boolean): boolean {
    this.#add({ kind: "data", chunk: chunk.slice(), end });
    this.#senderStopped = this.#held.length > 0 || this.#blocked;
    return !this.#senderStopped;
  }

  pushTrailers(trailers: HeaderList): void {
    this.#add({ kind: "trailers", trailers });
  }

  block(): void {
    this.#blocked = true;
  }

  unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#earnNothingIdle();
    this.#pump();
  }

  /** Nobody wants what is held. */
  stop(): void {
    this.#timer.cancel();
    this.#held = [];
    this.#senderStopped = false;
  }

  #add(part: BodyPart): void {
    if (this.#held.length === 0) this.#earnNothingIdle();
    this.#held.push(part);
    this.#pump();
  }

  /** A pause is no credit for a burst after it. A timer that fires late is: the rate holds all the same. */
  #earnNothingIdle(): void {
    this.#dueMs = Math.max(this.#dueMs, this.#runtime.monotonicMs());
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#blocked && this.#sendNext());
    this.#pumping = false;
    if (this.#held.length > 0 || this.#blocked || !this.#senderStopped) return;
    this.#senderStopped = false;
    this.#sink.drained();
  }

  /** False where nothing may go now. */
  #sendNext(): boolean {
    const [part] = this.#held;
    if (part === undefined) return false;
    if (part.kind === "trailers") {
      this.#held.shift();
      this.#sink.trailers(part.trailers);
      return true;
    }
    const waitMs = this.#dueMs - this.#runtime.monotonicMs();
    if (waitMs > 0 && part.chunk.byteLength > 0) {
      this.#runtime.timers.arm(this.#timer, waitMs);
      return false;
    }
    this.#sendSlice(part.chunk, part.end);
    return true;
  }

  #sendSlice(chunk: Uint8Array, end: boolean): void {
    const slice = chunk.subarray(0, this.#sliceBytes);
    const isLast = slice.byteLength === chunk.byteLength;
    if (isLast) this.#held.shift();
    else this.#held[0] = { kind: "data", chunk: chunk.subarray(slice.byteLength), end };
    this.#dueMs += (slice.byteLength * 1000) / this.#bytesPerSecond;
    if (!this.#sink.data(slice, isLast && end)) this.#blocked = true;
  }
}
