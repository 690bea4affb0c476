/** The services whose endpoint sets a sidecar hears, in no more subscriptions than its credentials allow. */

import type { Bus, BusSubscription } from "../../nats/bus.ts";
import { subjects } from "../../nats/subjects.ts";
import { parseServiceRef, type ServiceRef, serviceRef } from "../../policy/names.ts";

/** Beyond this many, one subscription hears all services, and the rest is ignored: `SERVICE_LIMITS` allows 64. */
const SINGLY_MAX = 48;

export class FollowedEndpoints {
  readonly #bus: Pick<Bus, "subscribe">;
  readonly #onSet: (service: ServiceRef, data: Uint8Array) => void;
  #services: ReadonlySet<ServiceRef> = new Set();
  readonly #single = new Map<ServiceRef, BusSubscription>();
  #all: BusSubscription | undefined;

  /** @param onSet told of every set of a service that is followed, unread */
  constructor(bus: Pick<Bus, "subscribe">, onSet: (service: ServiceRef, data: Uint8Array) => void) {
    this.#bus = bus;
    this.#onSet = onSet;
  }

  has(service: ServiceRef): boolean {
    return this.#services.has(service);
  }

  services(): IterableIterator<ServiceRef> {
    return this.#services.values();
  }

  /**
   * Follows exactly these; returns those that were not followed before. What is followed all along is heard all along.
   */
  follow(services: readonly ServiceRef[]): ServiceRef[] {
    const before = this.#services;
    this.#services = new Set(services.filter((service) => parseServiceRef(service) !== undefined));
    if (this.#services.size > SINGLY_MAX) {
      this.#all ??= this.#bus.subscribe(subjects.endpoints("*", "*"), ({ subject, data }) => {
        const [, , namespace = "", name = ""] = subject.split(".");
        const service = serviceRef(namespace, name);
        if (this.#services.has(service)) this.#onSet(service, data);
      });
      this.#stopSingle(() => true);
    } else {
      this.#stopSingle((service) => !this.#services.has(service));
      for (const service of this.#services) this.#followSingly(service);
      this.#all?.stop();
      this.#all = undefined;
    }
    return [...this.#services].filter((service) => !before.has(service));
  }

  stop(): void {
    this.#services = new Set();
    this.#stopSingle(() => true);
    this.#all?.stop();
    this.#all = undefined;
  }

  #followSingly(service: ServiceRef): void {
    const parsed = parseServiceRef(service);
    if (parsed === undefined || this.#single.has(service)) return;
    const subject = subjects.endpoints(parsed.namespace, parsed.name);
    this.#single.set(
      service,
      this.#bus.subscribe(subject, ({ data }) => this.#onSet(service, data)),
    );
  }

  #stopSingle(isUnwanted: (service: ServiceRef) => boolean): void {
    for (const [service, subscription] of this.#single) {
      if (!isUnwanted(service)) continue;
      subscription.stop();
      this.#single.delete(service);
    }
  }
}
