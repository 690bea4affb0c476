/**
 * Gives back what a burst of traffic, or the start, leaves behind: heap that is not in use and that the runtime keeps
 * for the next burst. A machine has many sidecars, most of which are idle most of the time.
 */

import { Timer } from "../io/timers.ts";
import type { OpenExchanges } from "../open-exchanges.ts";
import type { Runtime } from "../runtime.ts";

/** How long nothing must have happened the first time: what the start leaves behind, nobody will miss. */
const AFTER_START_MS = 10_000;
/**
 * How long nothing must have happened later on. A collection also ends the life of compiled code that has not run for
 * some seconds, and the next rush begins at twice the cost: a pause that comes again and again must not count as rest.
 */
const LATER_MS = 60_000;

export class IdleMemory {
  readonly #runtime: Runtime;
  readonly #exchanges: OpenExchanges;
  readonly #timer = new Timer(() => this.#look());
  /** How many exchanges had begun when it was last looked. */
  #begun = 0;
  #returned = false;
  #lookEveryMs: number;

  constructor(
    runtime: Runtime,
    exchanges: OpenExchanges,
    private readonly laterMs = LATER_MS,
    afterStartMs = AFTER_START_MS,
  ) {
    this.#runtime = runtime;
    this.#exchanges = exchanges;
    this.#lookEveryMs = afterStartMs;
    runtime.timers.arm(this.#timer, afterStartMs);
  }

  close(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const { begun, size } = this.#exchanges;
    const idle = size === 0 && begun === this.#begun;
    if (idle && !this.#returned) {
      this.#runtime.returnMemory();
      this.#lookEveryMs = this.laterMs;
    }
    this.#returned = idle;
    this.#begun = begun;
    this.#runtime.timers.arm(this.#timer, this.#lookEveryMs);
  }
}
