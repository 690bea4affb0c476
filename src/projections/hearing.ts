/** Tells instances that fell silent from a connection of our own that delivers nothing. */

import type { Bus } from "../nats/bus.ts";

/**
 * A server that hangs, or a network that drops everything, is noticed as a lost connection after half a minute only; by
 * then every instance would count as dead. So each look sends a message to itself through the server, which has to have
 * arrived by the next look.
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
