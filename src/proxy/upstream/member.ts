/** One instance among those of its service: its connections, its load, and what was seen of it. */

import type { Endpoint } from "../../projections/snapshot.ts";
import type { Balanced } from "./balancer.ts";
import { WEIGHT_LABEL } from "./labels.ts";
import { PeakLatency } from "./latency.ts";
import type { Outcome, OutlierMemory } from "./outlier.ts";
import type { Pool } from "./pool.ts";

/** One instance as this sidecar knows it. */
export interface EndpointState {
  /** Replaced when the instance comes back with other labels. */
  endpoint: Endpoint;
  readonly pool: Pool;
  /** Requests of ours that it has not answered yet. */
  active: number;
  /** Those of them that are copies, which take nobody's place; absent: none ever is. */
  copies?: number;
  /** Takes in how an attempt ended and how long it took; absent where nobody draws conclusions from it. */
  readonly observe?: (outcome: Outcome, elapsedMs: number) => void;
}

/** A request begins to count as load on its endpoint, or ceases to. */
export function countLoad(endpoint: EndpointState, by: 1 | -1, isCopy: boolean): void {
  endpoint.active += by;
  if (isCopy) endpoint.copies = (endpoint.copies ?? 0) + by;
}

const WEIGHT_MAX = 1_000;

/** In slow start an endpoint begins with this part of its share, as in Envoy. */
const SLOW_START_FLOOR = 0.1;

export class Member implements EndpointState, Balanced {
  readonly latency = new PeakLatency();
  active = 0;
  copies = 0;
  turn = 0;
  weight: number;
  /** Until when its share grows; 0: it has all of it. Monotonic milliseconds. */
  #fullAtMs = 0;
  #growthMs = 0;
  #endpoint: Endpoint;
  readonly observe: (outcome: Outcome, elapsedMs: number) => void;

  /**
   * @param key tells it from all others of its service.
   * @param outlier what was seen of it, also before it was away.
   * @param onOutcome told of each attempt that ends here.
   */
  constructor(
    endpoint: Endpoint,
    readonly key: string,
    readonly pool: Pool,
    readonly outlier: OutlierMemory,
    onOutcome: (member: Member, outcome: Outcome, elapsedMs: number) => void,
  ) {
    this.#endpoint = endpoint;
    this.weight = weightOf(endpoint);
    this.observe = (outcome, elapsedMs) => onOutcome(this, outcome, elapsedMs);
  }

  get endpoint(): Endpoint {
    return this.#endpoint;
  }

  set endpoint(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    this.weight = weightOf(endpoint);
  }

  /** It has just come: it gets its share little by little, so that its caches can fill. */
  growFrom(nowMs: number, growthMs: number): void {
    this.#fullAtMs = nowMs + growthMs;
    this.#growthMs = growthMs;
  }

  grows(nowMs: number): boolean {
    return nowMs < this.#fullAtMs;
  }

  weightAt(nowMs: number): number {
    if (!this.grows(nowMs)) return this.weight;
    const grown = 1 - (this.#fullAtMs - nowMs) / this.#growthMs;
    return this.weight * Math.max(SLOW_START_FLOOR, grown);
  }
}

/** A weight that is none counts as 1: an endpoint must not be lost to a typing error in its label. */
function weightOf({ labels }: Endpoint): number {
  const weight = Number(labels[WEIGHT_LABEL] ?? 1);
  return weight > 0 ? Math.min(WEIGHT_MAX, weight) : 1;
}
