/**
 * Every instance as it last spoke of itself. The endpoint registry forgets an instance when it can take no traffic any
 * more; here it is remembered for longer, since "it was there and does not answer" is what an operator must be told.
 * No clock, no I/O: the time comes in.
 */

import { type ServiceRef, serviceRef } from "../policy/names.ts";
import type { InstanceRegistry } from "../projections/endpoints.ts";
import { INSTANCES_PER_SERVICE } from "../projections/endpoints.ts";
import type { InstanceStatus } from "../projections/snapshot.ts";

/** How long an instance that has fallen silent is still shown. */
const REMEMBERED_MS = 10 * 60_000;
/** Instances that are kept: some 20 MB. Beyond it those go that have been silent the longest. */
const INSTANCES_MAX = 20_000;

/** `namespace/service/instance`. */
export type InstanceKey = `${ServiceRef}/${string}`;

/** Instance names are unique within their service only. */
export function instanceKey(service: ServiceRef, instance: string): InstanceKey {
  return `${service}/${instance}`;
}

export interface RosterEntry {
  readonly key: InstanceKey;
  readonly service: ServiceRef;
  readonly status: InstanceStatus;
  /** When it last spoke, in milliseconds since the epoch. */
  readonly heardMs: number;
  /** When it first said that it enforces the revision that it now does. */
  readonly revisionMs: number;
}

/** An instance that is known by what another replica has stored, and has not spoken to this one yet. */
export interface UnheardInstance {
  readonly key: InstanceKey;
  readonly service: ServiceRef;
  readonly instance: string;
}

/** Instances that are presumed alive, since another replica has heard them, and have not spoken to this one yet. */
export function* unheardInstances(
  roster: Roster,
  registry: Pick<InstanceRegistry, "services" | "endpointsOf">,
): Generator<UnheardInstance> {
  for (const service of registry.services()) {
    for (const { instance } of registry.endpointsOf(service)) {
      const key = instanceKey(service, instance);
      if (roster.get(key) === undefined) yield { key, service, instance };
    }
  }
}

/** What a status told that is of interest to those who wait for a revision. */
export type RosterNews = "revision" | "gone" | "nothing";

export class Roster {
  readonly #ttlMs: number;
  readonly #perService: number;
  /** In the order in which they last spoke. */
  readonly #entries = new Map<InstanceKey, RosterEntry>();
  /** How many there are of each service. */
  readonly #counts = new Map<ServiceRef, number>();

  /**
   * @param ttlMs silence after which an instance counts as disconnected
   * @param perService of one service that are kept: invented names must not push out those of others
   */
  constructor(ttlMs: number, perService = INSTANCES_PER_SERVICE) {
    this.#ttlMs = ttlMs;
    this.#perService = perService;
  }

  hear(status: InstanceStatus, nowMs: number): RosterNews {
    const service = serviceRef(status.namespace, status.service);
    const key = instanceKey(service, status.instance);
    const known = this.#entries.get(key);
    this.#remove(known);
    if (status.state === "gone") return known === undefined ? "nothing" : "gone";
    if (this.#countOf(service) >= this.#perService) this.#remove(this.#longestSilentOf(service));
    const same = known?.status.revision === status.revision && known.status.startedAt === status.startedAt;
    this.#entries.set(key, { key, service, status, heardMs: nowMs, revisionMs: same ? known.revisionMs : nowMs });
    this.#counts.set(service, this.#countOf(service) + 1);
    return same ? "nothing" : "revision";
  }

  /** Everybody gets a full life again: silence while we could not hear says nothing. */
  touchAll(nowMs: number): void {
    for (const entry of [...this.#entries.values()]) this.#entries.set(entry.key, { ...entry, heardMs: nowMs });
  }

  /** Forgets who has been silent for very long, or was so the longest where there are too many. */
  forget(nowMs: number): void {
    for (const entry of this.#entries.values()) {
      if (this.#entries.size <= INSTANCES_MAX && nowMs - entry.heardMs <= REMEMBERED_MS) return;
      this.#remove(entry);
    }
  }

  get(key: InstanceKey): RosterEntry | undefined {
    return this.#entries.get(key);
  }

  entries(): IterableIterator<RosterEntry> {
    return this.#entries.values();
  }

  /** How many are connected. */
  connected(nowMs: number): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (this.isConnected(entry, nowMs)) count += 1;
    return count;
  }

  isConnected({ heardMs }: RosterEntry, nowMs: number): boolean {
    return nowMs - heardMs <= this.#ttlMs;
  }

  #remove(entry: RosterEntry | undefined): void {
    if (entry === undefined || !this.#entries.delete(entry.key)) return;
    const left = this.#countOf(entry.service) - 1;
    if (left > 0) this.#counts.set(entry.service, left);
    else this.#counts.delete(entry.service);
  }

  #countOf(service: ServiceRef): number {
    return this.#counts.get(service) ?? 0;
  }

  /** Near the front, where those stand that have been silent. */
  #longestSilentOf(service: ServiceRef): RosterEntry | undefined {
    return this.#entries.values().find((entry) => entry.service === service);
  }
}
