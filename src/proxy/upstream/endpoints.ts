/**
 * Where a service's instances are: the live endpoints, what is known of each, and which one a request goes to. Load
 * counts and pools belong to the endpoint and outlive every new snapshot and every new endpoint set.
 */

import type { Endpoint, EndpointSet } from "../../projections/snapshot.ts";
import type { Subset, Upstream } from "../route/compile.ts";
import {
  eject,
  isAvoided,
  isEjected,
  maySpare,
  newOutlierMemory,
  noteReachability,
  type Outcome,
  type OutlierMemory,
  observe,
} from "./outlier.ts";
import type { Pool } from "./pool.ts";
import { RetryBudget } from "./retry-budget.ts";

/** One instance as this sidecar knows it. */
export interface EndpointState {
  /** Replaced when the instance comes back with other labels. */
  endpoint: Endpoint;
  readonly pool: Pool;
  /** Requests of ours that it has not answered yet. */
  active: number;
  /** Takes in how an attempt ended; absent where nobody draws conclusions from it. */
  readonly observe?: (outcome: Outcome) => void;
}

/** An endpoint among others, and what was seen of it. */
interface Member extends EndpointState {
  readonly outlier: OutlierMemory;
}

/** Draws in [0, 1). */
type Random = () => number;

/** Endpoints of one service. */
export class ServiceEndpoints {
  /** Shared by all requests to the service, and no fresh one with each snapshot. */
  readonly retryBudget: RetryBudget;
  readonly #now: () => number;
  #connectionPool: Upstream["connectionPool"] = {};
  #outlierDetection: Upstream["outlierDetection"];
  /** Until when some endpoint is avoided: before that, picking must look. Monotonic milliseconds. */
  #avoidingUntilMs = 0;
  #version = -1;
  #all: readonly Member[] = [];
  /** By the compiled subset: a new snapshot brings new ones, and the old go with it. */
  #bySubset = new WeakMap<Subset, readonly Member[]>();
  #turn = 0;

  /** @param now monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
    this.retryBudget = new RetryBudget(now());
  }

  /** Puts another policy in force; what was counted and observed so far stays. */
  configure({ connectionPool, outlierDetection }: Pick<Upstream, "connectionPool" | "outlierDetection">): void {
    this.#connectionPool = connectionPool;
    this.#outlierDetection = outlierDetection;
  }

  /** Bounds and times of connections, as policy has them now. */
  get connectionPool(): Upstream["connectionPool"] {
    return this.#connectionPool;
  }

  /** Circuit breaking: false while as many requests are under way as policy allows. */
  get takesRequest(): boolean {
    const { maxRequests } = this.#connectionPool;
    return maxRequests === undefined || sum(this.#all, ({ active }) => active) < maxRequests;
  }

  /** Likewise for requests that wait for a connection. */
  get takesPending(): boolean {
    const { maxPendingRequests } = this.#connectionPool;
    return maxPendingRequests === undefined || sum(this.#all, ({ pool }) => pool.pending) < maxPendingRequests;
  }

  /** Likewise for connections. */
  get takesConnection(): boolean {
    const { maxConnections } = this.#connectionPool;
    return maxConnections === undefined || sum(this.#all, ({ pool }) => pool.opened) < maxConnections;
  }

  /** Endpoints that outlier detection leaves out now. */
  get ejected(): readonly EndpointState[] {
    const nowMs = this.#now();
    return this.#all.filter(({ outlier }) => isEjected(outlier, nowMs));
  }

  get version(): number {
    return this.#version;
  }

  get all(): readonly EndpointState[] {
    return this.#all;
  }

  /**
   * Takes a newer set; an older one is dropped (false). `makePool` is asked for endpoints not seen before, pools of
   * those that left are closed, and those that stayed keep everything.
   */
  replace(set: EndpointSet, makePool: (endpoint: Endpoint) => Pool): boolean {
    if (set.version <= this.#version) return false;
    const known = new Map(this.#all.map((state) => [addressKey(state.endpoint), state]));
    const next: Member[] = [];
    for (const endpoint of set.endpoints) {
      const key = addressKey(endpoint);
      const state = known.get(key);
      known.delete(key);
      if (state === undefined) next.push(this.#member(endpoint, makePool(endpoint)));
      else {
        state.endpoint = endpoint;
        next.push(state);
      }
    }
    this.#version = set.version;
    this.#all = next;
    this.#bySubset = new WeakMap();
    // Last: whoever waited for one of these picks anew at once.
    for (const left of known.values()) left.pool.close();
    return true;
  }

  /**
   * Picks an endpoint of the subset, if it has any. `tried` is avoided as long as there is another.
   * Least request is the power of two choices: the less busy of two drawn at random.
   */
  pick(
    algorithm: Upstream["loadBalancer"],
    subset: Subset | undefined,
    tried: readonly EndpointState[],
    random: Random,
  ): EndpointState | undefined {
    const members = this.#choices(subset === undefined ? this.#all : this.#members(subset));
    const fresh = tried.length === 0 ? members : members.filter((state) => !tried.includes(state));
    const candidates = fresh.length > 0 ? fresh : members;
    const count = candidates.length;
    if (count <= 1) return candidates[0];
    if (algorithm === "round-robin") {
      this.#turn = (this.#turn + 1) % count;
      return candidates[this.#turn];
    }
    const first = Math.floor(random() * count);
    if (algorithm === "random") return candidates[first];
    // Drawn among the others, so that the two always differ.
    const second = (first + 1 + Math.floor(random() * (count - 1))) % count;
    const one = candidates[first];
    const other = candidates[second];
    return one !== undefined && other !== undefined && other.active < one.active ? other : one;
  }

  closeAll(): void {
    const all = this.#all;
    this.#all = [];
    this.#bySubset = new WeakMap();
    for (const state of all) state.pool.close();
  }

  #member(endpoint: Endpoint, pool: Pool): Member {
    const outlier = newOutlierMemory();
    return { endpoint, pool, active: 0, outlier, observe: (outcome) => this.#observe(outlier, outcome) };
  }

  #observe(outlier: OutlierMemory, outcome: Outcome): void {
    // Nearly every outcome is a success after a success.
    if (outcome === "success" && outlier.consecutiveFailures === 0 && outlier.consecutiveUnreachable === 0) return;
    const nowMs = this.#now();
    noteReachability(outlier, outcome !== "unreachable", nowMs);
    const config = this.#outlierDetection;
    if (config !== undefined && observe(outlier, outcome !== "success", config, nowMs)) {
      if (maySpare(this.#all.length, this.ejected.length, config)) eject(outlier, config, nowMs);
    }
    this.#avoidingUntilMs = Math.max(this.#avoidingUntilMs, outlier.ejectedUntilMs, outlier.unreachableUntilMs);
  }

  /** Without those that are avoided; all of them where none would be left: bad endpoints are better than none. */
  #choices(members: readonly Member[]): readonly Member[] {
    if (this.#avoidingUntilMs === 0) return members;
    const nowMs = this.#now();
    if (nowMs >= this.#avoidingUntilMs) {
      this.#avoidingUntilMs = 0;
      return members;
    }
    const well = members.filter(({ outlier }) => !isAvoided(outlier, nowMs));
    return well.length > 0 ? well : members;
  }

  #members(subset: Subset): readonly Member[] {
    let members = this.#bySubset.get(subset);
    if (members === undefined) {
      const labels = Object.entries(subset.labels);
      members = this.#all.filter((state) => labels.every(([name, value]) => state.endpoint.labels[name] === value));
      this.#bySubset.set(subset, members);
    }
    return members;
  }
}

function sum<T>(items: readonly T[], count: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += count(item);
  return total;
}

function addressKey(endpoint: Endpoint): string {
  return `${endpoint.instance} ${endpoint.host}:${endpoint.port}`;
}
