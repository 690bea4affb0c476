/**
 * Where a service's instances are: the live endpoints, what is known of each, and which one a request goes to. Load
 * counts and pools belong to the endpoint and outlive every new snapshot and every new endpoint set.
 */

import type { Endpoint, EndpointSet } from "../../projections/snapshot.ts";
import type { Subset, Upstream } from "../route/compile.ts";
import type { Pool } from "./pool.ts";

/** One instance as this sidecar knows it. */
export interface EndpointState {
  /** Replaced when the instance comes back with other labels. */
  endpoint: Endpoint;
  readonly pool: Pool;
  /** Requests of ours that it has not answered yet. */
  active: number;
}

/** Draws in [0, 1). */
type Random = () => number;

/** Endpoints of one service. */
export class ServiceEndpoints {
  #version = -1;
  #all: readonly EndpointState[] = [];
  /** By the compiled subset: a new snapshot brings new ones, and the old go with it. */
  #bySubset = new WeakMap<Subset, readonly EndpointState[]>();
  #turn = 0;

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
    const next: EndpointState[] = [];
    for (const endpoint of set.endpoints) {
      const key = addressKey(endpoint);
      const state = known.get(key);
      known.delete(key);
      if (state === undefined) next.push({ endpoint, pool: makePool(endpoint), active: 0 });
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
    const members = subset === undefined ? this.#all : this.#members(subset);
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

  #members(subset: Subset): readonly EndpointState[] {
    let members = this.#bySubset.get(subset);
    if (members === undefined) {
      const labels = Object.entries(subset.labels);
      members = this.#all.filter((state) => labels.every(([name, value]) => state.endpoint.labels[name] === value));
      this.#bySubset.set(subset, members);
    }
    return members;
  }
}

function addressKey(endpoint: Endpoint): string {
  return `${endpoint.instance} ${endpoint.host}:${endpoint.port}`;
}
