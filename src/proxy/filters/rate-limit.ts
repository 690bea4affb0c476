/**
 * Local rate limits: token buckets in this sidecar, as Envoy's: each interval brings `requests` tokens, and at most
 * `requests + burst` are kept. The buckets of a rule that did not change outlive the snapshot that it came with.
 */

import type { RuleOrigin, SnapshotRateLimit } from "../../projections/snapshot.ts";
import { compileMatch, type MatchableRequest, type RequestMatcher } from "../route/match.ts";
import { pathEnd } from "../route/path.ts";

/** Callers with a bucket of their own, per rule; those beyond share one. Callers are verified, so this is generous. */
const SOURCES_MAX = 10_000;
const OVERFLOW = "";

/** A request that found its bucket empty. */
export interface RateLimited {
  readonly origin: RuleOrigin;
  /** Requests per interval, for `x-ratelimit-limit`. */
  readonly limit: number;
  /** Until the next tokens come. */
  readonly retryAfterMs: number;
}

interface Bucket {
  tokens: number;
  /** Monotonic milliseconds of the last fill. */
  filledMs: number;
}

interface LimitRule {
  /** The same for the same limit in another snapshot. */
  readonly key: string;
  readonly source: SnapshotRateLimit;
  readonly matches: RequestMatcher;
  readonly buckets: Map<string, Bucket>;
}

export class RateLimiter {
  readonly #rules: readonly LimitRule[];

  /** @param previous the limiter of the snapshot before, whose buckets are taken over where the rule is the same. */
  constructor(rules: readonly SnapshotRateLimit[], previous?: RateLimiter) {
    const known = new Map((previous === undefined ? [] : previous.#rules).map((rule) => [rule.key, rule.buckets]));
    this.#rules = rules.map((source) => {
      const { requests, perMs, burst, bySource, match, origin } = source;
      const key = JSON.stringify([origin.document, match, requests, perMs, burst, bySource]);
      return { key, source, matches: compileMatch(match), buckets: known.get(key) ?? new Map() };
    });
  }

  /**
   * Takes a token of every rule that matches; undefined when all had one. A request that is refused takes none, so
   * that it is not charged by one rule for what another refuses.
   * @param caller `namespace/name` of the verified caller; undefined: unauthenticated.
   * @param nowMs monotonic.
   */
  check(request: MatchableRequest, target: string, caller: string | undefined, nowMs: number): RateLimited | undefined {
    if (this.#rules.length === 0) return undefined;
    const end = pathEnd(target);
    const charged: Bucket[] = [];
    for (const rule of this.#rules) {
      if (!rule.matches(request, target, end)) continue;
      const bucket = bucketOf(rule, caller ?? OVERFLOW, nowMs);
      if (bucket.tokens < 1) {
        const { origin, requests, perMs } = rule.source;
        return { origin, limit: requests, retryAfterMs: bucket.filledMs + perMs - nowMs };
      }
      charged.push(bucket);
    }
    for (const bucket of charged) bucket.tokens--;
    return undefined;
  }
}

function bucketOf(rule: LimitRule, caller: string, nowMs: number): Bucket {
  const { requests, burst, perMs, bySource } = rule.source;
  const name = bySource && (rule.buckets.has(caller) || rule.buckets.size < SOURCES_MAX) ? caller : OVERFLOW;
  let bucket = rule.buckets.get(name);
  if (bucket === undefined) {
    bucket = { tokens: requests + burst, filledMs: nowMs };
    rule.buckets.set(name, bucket);
    return bucket;
  }
  const intervals = Math.floor((nowMs - bucket.filledMs) / perMs);
  if (intervals > 0) {
    bucket.tokens = Math.min(requests + burst, bucket.tokens + intervals * requests);
    bucket.filledMs += intervals * perMs;
  }
  return bucket;
}
