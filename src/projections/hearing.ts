/** Tells the silence of others from deafness of our own. */

import type { Bus } from "../nats/bus.ts";

/**
 * A server that hangs, or a network that drops everything, takes half a minute to be noticed as a lost connection, and
 * by then every instance has been silent for longer than any may. So each look sends something through the server and
 * back, which has to be there by the next one.
 */
export class Hearing {
  #isUnderWay = false;

  constructor(private readonly bus: Pick<Bus, "connected" | "flush">) {}

  /** Whether what was said since the last look could be heard. To be called in even intervals. */
  look(): boolean {
    if (!this.bus.connected) return false;
    if (this.#isUnderWay) return false;
    this.#isUnderWay = true;
    const end = (): void => {
      this.#isUnderWay = false;
    };
    this.bus.flush().then(end, end);
    return true;
  }
}
