/**
 * A mirrored copy of a request. Nobody waits for its response, and nothing that happens to it affects the request. Its
 * body is buffered up to a bound; beyond that, and when its time is up, the copy is given up.
 */

import type { HeaderList, RequestHead } from "../codec/message.ts";
import { Timer } from "../io/timers.ts";
import type { Runtime } from "../runtime.ts";
import { UpstreamCall } from "./call.ts";
import type { CallOwner, CallPlan } from "./call-plan.ts";

/** How a copy ended; `abandoned`: too large, too slow, or the request itself broke off. */
export type MirrorOutcome = "answered" | "failed" | "abandoned";

const NOTHING = (): void => {};

export class MirrorCall implements CallOwner {
  readonly #bytesMax: number;
  readonly #call: UpstreamCall;
  readonly #timeout: Timer;
  readonly #onEnd: (outcome: MirrorOutcome) => void;
  #bytes = 0;
  #requestEnded = false;
  #over = false;

  /** @param onEnd called once. */
  constructor(runtime: Runtime, plan: CallPlan, timeoutMs: number, onEnd: (outcome: MirrorOutcome) => void) {
    this.#bytesMax = runtime.limits.replayBytesMax;
    this.#onEnd = onEnd;
    this.#call = new UpstreamCall(runtime, plan, this);
    this.#timeout = new Timer(() => this.abandon());
    runtime.timers.arm(this.#timeout, timeoutMs);
  }

  /** `head` is the copy's alone. */
  sendHead(head: RequestHead, end: boolean): void {
    this.#requestEnded = end;
    this.#call.sendHead(head, end);
  }

  sendData(chunk: Uint8Array, end: boolean): void {
    if (this.#over) return;
    this.#bytes += chunk.byteLength;
    if (this.#bytes > this.#bytesMax) {
      this.abandon();
      return;
    }
    this.#requestEnded = end;
    // Copied, since either connection may hold on to it, and change it (masks, padding), in its own time.
    this.#call.sendData(chunk.slice(), end);
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.#over) return;
    this.#requestEnded = true;
    this.#call.sendTrailers([...trailers]);
  }

  /** The request is over. A copy that has it all goes on. */
  requestOver(): void {
    if (!this.#requestEnded) this.abandon();
  }

  abandon(): void {
    if (this.#over) return;
    this.#call.cancel();
    this.#end("abandoned");
  }

  // What comes of it, and is not kept.

  upstreamInformational = NOTHING;
  upstreamDrained = NOTHING;
  upstreamRetried = NOTHING;

  upstreamHead(_head: unknown, end: boolean): void {
    if (end) this.#end("answered");
  }

  upstreamData(_chunk: Uint8Array, end: boolean): void {
    if (end) this.#end("answered");
  }

  upstreamTrailers(): void {
    this.#end("answered");
  }

  upstreamFailed(): void {
    this.#end("failed");
  }

  #end(outcome: MirrorOutcome): void {
    if (this.#over) return;
    this.#over = true;
    this.#timeout.cancel();
    this.#onEnd(outcome);
  }
}
