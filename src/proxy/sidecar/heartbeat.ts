/** Says on the bus what this instance is and which revision it enforces: every few seconds, and at once on a change. */

import type { Bus } from "../../nats/bus.ts";
import { subjects } from "../../nats/subjects.ts";
import type { InstanceStatus } from "../../projections/snapshot.ts";

/** A third of what control waits before it takes an instance for lost, less some. */
const EVERY_MS = 4_000;

export class Heartbeat {
  readonly #bus: Bus;
  readonly #status: () => InstanceStatus;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(bus: Bus, status: () => InstanceStatus) {
    this.#bus = bus;
    this.#status = status;
    this.#timer = setInterval(() => this.beat(), EVERY_MS);
    bus.onConnection((event) => {
      if (event === "connected") this.beat();
    });
    this.beat();
  }

  /** Something changed: say so now. */
  beat(): void {
    const status = this.#status();
    const subject = subjects.status(status.namespace, status.service, status.instance);
    this.#bus.publish(subject, new TextEncoder().encode(JSON.stringify(status)));
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
