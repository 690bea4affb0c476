/**
 * Which instances of which service are alive and can take traffic, as their heartbeats tell. No clock, no I/O: the
 * time comes in. It changes in place, because every heartbeat of every instance passes here and most of them say
 * only that nothing is new.
 */

import { canonicalJson } from "../policy/canonical.ts";
import { type ServiceRef, serviceRef } from "../policy/names.ts";
import { NameHolder } from "./name-holder.ts";
import type { Endpoint, InstanceStatus } from "./snapshot.ts";

/**
 * What one status did to its service. `full`: the service has as many instances as it may, and this was not one.
 * `rival`: another process, which is alive, has the instance's name, and nothing was done.
 */
export type Observation = "changed" | "unchanged" | "full" | "rival";

interface Instance {
  /** Undefined while it cannot take traffic. */
  endpoint: Endpoint | undefined;
  /** Undefined for an instance that is known from a stored set and has not been heard yet. */
  status: InstanceStatus | undefined;
  /** Undefined likewise. */
  holder: NameHolder | undefined;
  lastSeenMs: number;
}

/**
 * Instances of one service that may be kept at most: one set of them with its labels must fit a NATS message (1 MiB by
 * default).
 */
export const INSTANCES_PER_SERVICE_MAX = 2_000;

/**
 * The default, which is lower: who holds one workload's credentials can invent instances, and all callers hear of them.
 */
export const INSTANCES_PER_SERVICE = 1_000;

/** Three heartbeats of five seconds: one may be lost and one late. */
export const INSTANCE_TTL_MS = 15_000;

export class InstanceRegistry {
  readonly #services = new Map<ServiceRef, Map<string, Instance>>();

  readonly #ttlMs: number;
  readonly #perService: number;

  /**
   * @param ttlMs silence after which another process may have an instance's name
   * @param perService instances of one service that are kept
   */
  constructor(ttlMs = INSTANCE_TTL_MS, perService = INSTANCES_PER_SERVICE) {
    this.#ttlMs = ttlMs;
    this.#perService = perService;
  }

  /** Takes in a status. `changed`: the endpoints of its service are not what they were. */
  observe(status: InstanceStatus, nowMs: number): Observation {
    const ref = serviceRef(status.namespace, status.service);
    const instances = this.#instancesAt(ref);
    const known = instances.get(status.instance);
    if (known?.holder?.hear(status, nowMs, this.#ttlMs) === false) return "rival";
    if (status.state === "gone") return this.#remove(ref, status.instance);
    if (known === undefined && instances.size >= this.#perService) return "full";
    const endpoint = endpointOf(status);
    const holder = known?.holder ?? new NameHolder(status, nowMs);
    instances.set(status.instance, { endpoint, status, holder, lastSeenMs: nowMs });
    return sameEndpoint(known?.endpoint, endpoint) ? "unchanged" : "changed";
  }

  /**
   * Presumes the endpoints of a stored set alive as of now, so that a control replica that has just started knows
   * no less than the one before it until the sidecars have had time to speak.
   */
  presume(service: ServiceRef, endpoints: readonly Endpoint[], nowMs: number): void {
    const instances = this.#instancesAt(service);
    for (const endpoint of endpoints) {
      if (instances.has(endpoint.instance) || instances.size >= this.#perService) continue;
      instances.set(endpoint.instance, { endpoint, status: undefined, holder: undefined, lastSeenMs: nowMs });
    }
  }

  /** Forgets the instances that were last heard more than `ttlMs` ago; returns the services that lost endpoints. */
  expire(nowMs: number, ttlMs: number): Set<ServiceRef> {
    const changed = new Set<ServiceRef>();
    for (const [ref, instances] of this.#services) {
      for (const [name, { lastSeenMs }] of instances) {
        if (nowMs - lastSeenMs > ttlMs && this.#remove(ref, name) === "changed") changed.add(ref);
      }
    }
    return changed;
  }

  /** Gives everybody a full life again: silence while we could not hear says nothing about who is alive. */
  touchAll(nowMs: number): void {
    for (const instances of this.#services.values()) {
      for (const instance of instances.values()) instance.lastSeenMs = nowMs;
    }
  }

  /** Instances of a service that can take traffic, by instance name. */
  endpointsOf(service: ServiceRef): Endpoint[] {
    const endpoints: Endpoint[] = [];
    for (const { endpoint } of this.#services.get(service)?.values() ?? []) {
      if (endpoint !== undefined) endpoints.push(endpoint);
    }
    return endpoints.sort((a, b) => (a.instance < b.instance ? -1 : 1));
  }

  /** Last status of every instance of a service that has spoken and is not gone, whatever its state. */
  statusesOf(service: ServiceRef): InstanceStatus[] {
    const statuses: InstanceStatus[] = [];
    for (const { status } of this.#services.get(service)?.values() ?? []) {
      if (status !== undefined) statuses.push(status);
    }
    return statuses.sort((a, b) => (a.instance < b.instance ? -1 : 1));
  }

  /** Addresses of other processes that go by the name of an instance and are alive: nobody is sent there. */
  rivalsOf(service: ServiceRef, instance: string, nowMs: number): string[] {
    return this.#services.get(service)?.get(instance)?.holder?.rivals(nowMs, this.#ttlMs) ?? [];
  }

  /** Services with at least one known instance. */
  services(): IterableIterator<ServiceRef> {
    return this.#services.keys();
  }

  #instancesAt(ref: ServiceRef): Map<string, Instance> {
    const instances = this.#services.get(ref) ?? new Map<string, Instance>();
    this.#services.set(ref, instances);
    return instances;
  }

  #remove(ref: ServiceRef, instance: string): Observation {
    const instances = this.#services.get(ref);
    const known = instances?.get(instance);
    instances?.delete(instance);
    if (instances?.size === 0) this.#services.delete(ref);
    return known?.endpoint === undefined ? "unchanged" : "changed";
  }
}

/** Only who is ready takes traffic: an instance that drains leaves the set at once, before it closes its listener. */
function endpointOf({ state, instance, host, port, labels }: InstanceStatus): Endpoint | undefined {
  return state === "ready" && port > 0 ? { instance, host, port, labels } : undefined;
}

function sameEndpoint(a: Endpoint | undefined, b: Endpoint | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.host === b.host && a.port === b.port && canonicalJson(a.labels) === canonicalJson(b.labels);
}
