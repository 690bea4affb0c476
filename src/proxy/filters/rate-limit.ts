/**
 * Rate limits: token buckets, as Envoy's: each interval brings `requests` tokens, and at most `requests + burst` are
 * kept. Those of this sidecar alone are filled here; those of the whole mesh from leases (`leased-bucket.ts`). The
 * buckets of a rule that did not change outlive the snapshot that it came with.
 */

import { type RuleOrigin, rateLimitId, type SnapshotRateLimit } from "../../projections/snapshot.ts";
import { compileMatch, type MatchableRequest, type RequestMatcher } from "../route/match.ts";
import { pathEnd } from "../route/path.ts";
import type { Bucket } from "./bucket.ts";
import { type BucketNamer, compileBucketName, type LimitedCaller } from "./bucket-name.ts";
import { LeasedBucket, type Quota } from "./leased-bucket.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Buckets of one rule; when there are more, requests for new ones share one until some are full again. */
const BUCKETS_MAX = 10_000;
const OVERFLOW = "";

/** A request that found its bucket empty. */
export interface RateLimited {
  readonly origin: RuleOrigin;
  /** Requests per interval, for `x-ratelimit-limit`. */
  readonly limit: number;
  /** Until the next tokens come. */
  readonly retryAfterMs: number;
}

/** What outlives the snapshot that a limit came with. */
interface LimitState {
  /** Of the limit, as `rateLimitId`. */
  readonly id: string;
  /** As the newest snapshot has it: only where it stands in its document may be another than before. */
  source: SnapshotRateLimit;
  readonly buckets: Map<string, Bucket>;
}

interface LimitRule {
  readonly key: string;
  readonly matches: RequestMatcher;
  /** Undefined: the rule has one bucket for all. */
  readonly nameOf: BucketNamer | undefined;
  readonly state: LimitState;
}

export class RateLimiter {
  readonly #rules: readonly LimitRule[];
  readonly #quota: Quota | undefined;
  readonly #leasesAll: boolean;

  /**
   * @param previous the limiter of the snapshot before, whose buckets are taken over where the rule is the same.
   * @param quota where tokens of the whole mesh come from; absent: there are none, and each sidecar counts by itself.
   * @param leasesAll `quota` has the tokens of all limits: this process is but one of those that make the instance.
   */
  constructor(rules: readonly SnapshotRateLimit[], previous?: RateLimiter, quota?: Quota, leasesAll = false) {
    const known = new Map((previous === undefined ? [] : previous.#rules).map((rule) => [rule.key, rule.state]));
    this.#quota = quota;
    this.#leasesAll = leasesAll;
    const limits = new Map<string, LimitRule>();
    for (const source of rules) {
      const id = rateLimitId(source);
      const key = `${source.origin.document} ${id}`;
      // A rule that stands twice in a document counts once: both share one bucket, and each request would take two
      // tokens.
      if (limits.has(key)) continue;
      const state = known.get(key) ?? { id, source, buckets: new Map<string, Bucket>() };
      state.source = source;
      limits.set(key, { key, matches: compileMatch(source.match), nameOf: compileBucketName(source), state });
    }
    this.#rules = [...limits.values()];
  }

  /**
   * Takes a token of every rule that matches; undefined when all had one. A request that is refused takes none, so
   * that it is not charged by one rule for what another refuses.
   * @param nowMs monotonic.
   */
  check(request: MatchableRequest, target: string, who: LimitedCaller, nowMs: number): RateLimited | undefined {
    if (this.#rules.length === 0) return undefined;
    const end = pathEnd(target);
    const charged: Bucket[] = [];
    for (const rule of this.#rules) {
      if (!rule.matches(request, target, end)) continue;
      const bucket = this.#bucket(rule, rule.nameOf?.(request, target.slice(0, end), who) ?? OVERFLOW, nowMs);
      const retryAfterMs = bucket.waitMs(nowMs);
      if (retryAfterMs !== undefined) {
        const { origin, requests } = rule.state.source;
        return { origin, limit: requests, retryAfterMs };
      }
      charged.push(bucket);
    }
    for (const bucket of charged) bucket.take(nowMs);
    return undefined;
  }

  #bucket({ state }: LimitRule, wanted: string, nowMs: number): Bucket {
    const { buckets, source } = state;
    const known = buckets.get(wanted);
    if (known !== undefined) return known;
    if (buckets.size >= BUCKETS_MAX) forgetFull(buckets, nowMs);
    const name = buckets.size < BUCKETS_MAX ? wanted : OVERFLOW;
    const existing = buckets.get(name);
    if (existing !== undefined) return existing;
    const bucket =
      (this.#leasesAll || source.scope === "mesh") && this.#quota !== undefined
        ? new LeasedBucket(state, name, this.#quota, nowMs)
        : new TokenBucket(source, nowMs);
    buckets.set(name, bucket);
    return bucket;
  }
}

/**
 * From the oldest on, and no more than a few at a time: whoever invents names must not make each request walk them all.
 */
function forgetFull(buckets: Map<string, Bucket>, nowMs: number): void {
  let looked = 0;
  for (const [name, bucket] of buckets) {
    if (++looked > 100) return;
    buckets.delete(name);
    // Still in use: it moves to the end of the line.
    if (!bucket.isFull(nowMs)) buckets.set(name, bucket);
  }
}
