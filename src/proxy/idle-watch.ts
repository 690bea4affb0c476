/** Notices when nothing has moved for a time. Asked once per timeout, so that what moves costs a store and no timer. */

import { Timer, type Timers } from "./io/timers.ts";

export class IdleWatch {
  readonly #timers: Timers;
  readonly #timer: Timer;
  readonly #timeoutMs: number;
  /** Since it last looked. */
  #moved = true;

  /** @param onIdle after at least one timeout without `moved`, and at most two. */
  constructor(timers: Timers, timeoutMs: number, onIdle: () => void) {
    this.#timers = timers;
    this.#timeoutMs = timeoutMs;
    this.#timer = new Timer(() => {
      if (!this.#moved) {
        onIdle();
        return;
      }
      this.#moved = false;
      this.#timers.arm(this.#timer, this.#timeoutMs);
    });
    timers.arm(this.#timer, timeoutMs);
  }

  moved(): void {
    this.#moved = true;
  }

  stop(): void {
    this.#timer.cancel();
  }
}
