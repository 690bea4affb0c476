/** Our side of one exchange on an HTTP/1.1 connection, as far as it is the same for requests and responses. */

import type { Limits } from "../../limits.ts";
import type { ConnectionOutput, HeaderList, StreamFault } from "../message.ts";
import { BodyWriter } from "./body-writer.ts";
import { FAULTS } from "./fault.ts";
import { afterSending, type SendState } from "./send-state.ts";

/** Sends one message, with backpressure. Ignores every call once it is over. */
export abstract class SendingStream {
  protected readonly output: ConnectionOutput;
  protected readonly body = new BodyWriter();
  protected state: SendState = "head";
  protected over = false;
  readonly #limits: Limits;
  #wantsDrain = false;

  constructor(output: ConnectionOutput, limits: Limits) {
    this.output = output;
    this.#limits = limits;
  }

  /** The message has been sent to its end. */
  protected abstract sent(): void;
  /** The stream is given up; its listener hears of `fault`, where there is one. */
  protected abstract abandon(fault: StreamFault | undefined): void;
  protected abstract setPaused(paused: boolean): void;
  protected abstract tellDrained(): void;

  sendTrailers(trailers: HeaderList): void {
    if (this.over) return;
    this.state = afterSending(this.state, "trailers");
    if (this.body.trailers(this.output, trailers)) this.sent();
    else this.abandon(FAULTS.lengthMismatch);
  }

  reset(_fault: StreamFault): void {
    if (!this.over) this.abandon(undefined);
  }

  pause(): void {
    if (!this.over) this.setPaused(true);
  }

  resume(): void {
    if (!this.over) this.setPaused(false);
  }

  /** The socket took what was queued. */
  drained(): void {
    if (!this.#wantsDrain || this.over || this.state === "done") return;
    if (this.output.queuedBytes > this.#limits.writeHighWaterBytes) return;
    this.#wantsDrain = false;
    this.tellDrained();
  }

  /** Writes a piece of the body. False: send no more until `onDrain`. */
  protected write(chunk: Uint8Array, end: boolean): boolean {
    if (!this.body.data(this.output, chunk, end)) {
      this.abandon(FAULTS.lengthMismatch);
      return true;
    }
    if (end) {
      this.sent();
      return true;
    }
    // Once told to wait, the owner waits for `onDrain`: what was on its way and fits again must not call that off.
    if (this.output.queuedBytes > this.#limits.writeHighWaterBytes) this.#wantsDrain = true;
    return !this.#wantsDrain;
  }
}
