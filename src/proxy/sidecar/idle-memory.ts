/**
 * What a rush of traffic, or the start, leaves behind: heap that nobody uses and that the runtime keeps for the next
 * time. A machine has many sidecars, and most of them are idle most of the time; so an idle one gives it back. Not its
 * compiled code, which it would have to compile again for the first callers after the pause.
 */

import { Timer } from "../io/timers.ts";
import type { OpenExchanges } from "../open-exchanges.ts";
import type { Runtime } from "../runtime.ts";

/** How long nothing must have happened. A collection takes some 20 ms, which nobody should have to wait for. */
const IDLE_MS = 10_000;

export class IdleMemory {
  readonly #runtime: Runtime;
  readonly #exchanges: OpenExchanges;
  readonly #timer = new Timer(() => this.#look());
  /** How many exchanges had begun when it was last looked. */
  #begun = 0;
  #returned = false;

  constructor(
    runtime: Runtime,
    exchanges: OpenExchanges,
    private readonly idleMs = IDLE_MS,
  ) {
    this.#runtime = runtime;
    this.#exchanges = exchanges;
    runtime.timers.arm(this.#timer, idleMs);
  }

  close(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const { begun, size } = this.#exchanges;
    const idle = size === 0 && begun === this.#begun;
    if (idle && !this.#returned) this.#runtime.returnMemory();
    this.#returned = idle;
    this.#begun = begun;
    this.#runtime.timers.arm(this.#timer, this.idleMs);
  }
}
