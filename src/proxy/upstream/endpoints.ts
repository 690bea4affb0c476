/**
 * Where a service's instances are: the live endpoints, what is known of each, and which one a request goes to. Load
 * counts and pools belong to the endpoint and outlive every new snapshot and every new endpoint set.
 */

import type { Endpoint, EndpointSet } from "../../projections/snapshot.ts";
import type { Subset, Upstream } from "../route/compile.ts";
import { type Algorithm, balance } from "./balancer.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";
import { Group } from "./group.ts";
import { chooseAmong, type Labels } from "./locality.ts";
import { type EndpointState, Member } from "./member.ts";
import { isAvoided, type Outcome } from "./outlier.ts";
import { OutlierDetector } from "./outlier-detector.ts";
import type { Pool } from "./pool.ts";
import { RetryBudget } from "./retry-budget.ts";

/** What one attempt asks for. */
export interface PickRequest {
  /** Absent: every endpoint. */
  readonly subset: Subset | undefined;
  /** Avoided as long as there is another. */
  readonly tried: readonly EndpointState[];
  /** For ring hash and Maglev: what the requests that belong together have in common. */
  readonly hash?: number | undefined;
  /** Draws in [0, 1). */
  readonly random: () => number;
}

/** One endpoint, as it stands now. */
export interface EndpointView {
  readonly state: EndpointState;
  /** By outlier detection. */
  readonly isEjected: boolean;
  /** Why it is left out of balancing, if it is: an outlier's reason, or `unreachable`. */
  readonly avoided: string | undefined;
}

export type UpstreamPolicy = Pick<Upstream, "loadBalancer" | "balancing" | "connectionPool" | "outlierDetection">;

/** Endpoints of one service. */
export class ServiceEndpoints {
  /** Shared by all requests to the service, and no fresh ones with each snapshot. */
  readonly retryBudget: RetryBudget;
  readonly breaker: CircuitBreaker;
  readonly outliers = new OutlierDetector();
  readonly #now: () => number;
  readonly #own: Labels;
  #algorithm: Algorithm = "peak-ewma";
  #balancing: NonNullable<Upstream["balancing"]> = {};
  #version = -1;
  #all: readonly Member[] = [];
  #whole: Group;
  /** By the compiled subset: a new snapshot brings new ones, and the old go with it. */
  #bySubset = new WeakMap<Subset, Group>();
  /** Until when the share of some endpoint grows. Monotonic milliseconds. */
  #growingUntilMs = 0;

  /**
   * @param now monotonic milliseconds.
   * @param own labels of the caller's own instance, which say where it is.
   */
  constructor(now: () => number, own: Labels = {}) {
    this.#now = now;
    this.#own = own;
    this.#whole = this.#group([]);
    this.retryBudget = new RetryBudget(now());
    this.breaker = new CircuitBreaker(() => this.#all, this.retryBudget);
  }

  /** Puts another policy in force; what was counted and observed so far stays. */
  configure({ loadBalancer, balancing = {}, connectionPool, outlierDetection }: UpstreamPolicy): void {
    const regroup = balancing.locality !== this.#balancing.locality;
    this.#algorithm = loadBalancer;
    this.#balancing = balancing;
    this.breaker.configure(connectionPool);
    this.outliers.configure(outlierDetection, () => this.#all.map(({ outlier }) => outlier));
    if (regroup) this.#regroup();
  }

  /** Endpoints that outlier detection leaves out now. */
  get ejected(): readonly EndpointState[] {
    const nowMs = this.#now();
    return this.#all.filter(({ outlier }) => outlier.ejectedUntilMs > nowMs);
  }

  /** Every endpoint with why it is left out now, if it is; `only` those that are. */
  view(only?: "avoided"): readonly EndpointView[] {
    const nowMs = this.#now();
    if (only !== undefined && !this.outliers.isAvoiding(nowMs)) return [];
    const all = only === undefined ? this.#all : this.#all.filter(({ outlier }) => isAvoided(outlier, nowMs));
    return all.map((state) => {
      const isEjected = state.outlier.ejectedUntilMs > nowMs;
      const reason = isEjected ? state.outlier.reason : "unreachable";
      return { state, isEjected, avoided: isAvoided(state.outlier, nowMs) ? reason : undefined };
    });
  }

  get version(): number {
    return this.#version;
  }

  get all(): readonly EndpointState[] {
    return this.#all;
  }

  /** Whether any endpoint of the subset is well; where none is, calls had better go to another service. */
  isWell(subset: Subset | undefined): boolean {
    const { members } = this.#groupOf(subset);
    const nowMs = this.#now();
    if (!this.outliers.isAvoiding(nowMs)) return members.length > 0;
    return members.some(({ outlier }) => !isAvoided(outlier, nowMs));
  }

  /**
   * Takes a newer set; an older one is dropped (false). `makePool` is asked for endpoints not seen before, pools of
   * those that left are closed, and those that stayed keep everything.
   */
  replace(set: EndpointSet, makePool: (endpoint: Endpoint) => Pool): boolean {
    if (set.version <= this.#version) return false;
    const known = new Map(this.#all.map((state) => [state.key, state]));
    const areFirst = known.size === 0;
    const next: Member[] = [];
    for (const endpoint of set.endpoints) {
      const key = addressKey(endpoint);
      const state = known.get(key);
      known.delete(key);
      if (state === undefined) next.push(this.#member(endpoint, key, makePool, areFirst));
      else {
        state.endpoint = endpoint;
        next.push(state);
      }
    }
    this.#version = set.version;
    this.#all = next;
    this.#regroup();
    for (const { key, outlier } of known.values()) this.outliers.left(key, outlier, this.#now());
    // Last: whoever waited for one of these picks anew at once.
    for (const left of known.values()) left.pool.close();
    return true;
  }

  /** Picks an endpoint, if there is any. */
  pick({ subset, tried, hash, random }: PickRequest): EndpointState | undefined {
    const group = this.#groupOf(subset);
    const nowMs = this.#now();
    const avoiding = this.outliers.isAvoiding(nowMs);
    const isFree = (member: Member): boolean => !tried.includes(member);
    const isWell = (member: Member): boolean => !avoiding || !isAvoided(member.outlier, nowMs);
    if (hash !== undefined) {
      const owner = group.owner(this.#algorithm, hash, (member) => isFree(member) && isWell(member));
      return owner ?? group.owner(this.#algorithm, hash, isFree) ?? group.owner(this.#algorithm, hash, () => true);
    }
    const among = this.#among(group, avoiding, isWell, random);
    const fresh = tried.length === 0 ? among : among.filter(isFree);
    const others = fresh.length > 0 ? fresh : this.#elsewhere(group, isFree, isWell);
    const even = group.even && nowMs >= this.#growingUntilMs;
    return balance(this.#algorithm, others.length > 0 ? others : among, { even, nowMs, random });
  }

  closeAll(): void {
    const all = this.#all;
    this.#all = [];
    this.#regroup();
    for (const state of all) state.pool.close();
  }

  #among(
    { levels }: Group,
    avoiding: boolean,
    isWell: (member: Member) => boolean,
    random: () => number,
  ): readonly Member[] {
    // Nearly always: all are well, so that the nearest take everything.
    if (!avoiding) return levels[0] ?? [];
    return chooseAmong(levels, isWell, this.outliers.panicThreshold, random);
  }

  /** All near ones were tried: others that are well, however far, or at least not tried yet. */
  #elsewhere(
    { members }: Group,
    isFree: (member: Member) => boolean,
    isWell: (member: Member) => boolean,
  ): readonly Member[] {
    const free = members.filter(isFree);
    const well = free.filter(isWell);
    return well.length > 0 ? well : free;
  }

  #member(endpoint: Endpoint, key: string, makePool: (endpoint: Endpoint) => Pool, isFirst: boolean): Member {
    const memory = this.outliers.joined(key);
    const member = new Member(endpoint, key, makePool(endpoint), memory, (of, outcome, elapsedMs) =>
      this.#observe(of, outcome, elapsedMs),
    );
    const { slowStartMs } = this.#balancing;
    // When all are new, none can be spared.
    if (slowStartMs !== undefined && !isFirst) {
      const nowMs = this.#now();
      member.growFrom(nowMs, slowStartMs);
      this.#growingUntilMs = Math.max(this.#growingUntilMs, nowMs + slowStartMs);
    }
    return member;
  }

  #observe({ latency, outlier }: Member, outcome: Outcome, elapsedMs: number): void {
    const nowMs = this.#now();
    latency.sample(elapsedMs, outcome !== "success", nowMs);
    this.outliers.note(outlier, outcome, () => this.#all.map((member) => member.outlier), nowMs);
  }

  #regroup(): void {
    this.#whole = this.#group(this.#all);
    this.#bySubset = new WeakMap();
  }

  #group(members: readonly Member[]): Group {
    return new Group(members, this.#balancing.locality === "ignore" ? undefined : this.#own);
  }

  #groupOf(subset: Subset | undefined): Group {
    if (subset === undefined) return this.#whole;
    let group = this.#bySubset.get(subset);
    if (group === undefined) {
      const labels = Object.entries(subset.labels);
      const bears = ({ endpoint }: Member): boolean => labels.every(([name, value]) => endpoint.labels[name] === value);
      group = this.#group(this.#all.filter(bears));
      this.#bySubset.set(subset, group);
    }
    return group;
  }
}

function addressKey(endpoint: Endpoint): string {
  return `${endpoint.instance} ${endpoint.host}:${endpoint.port}`;
}
