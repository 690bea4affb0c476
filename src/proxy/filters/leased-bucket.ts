/**
 * This sidecar's part of a bucket that all instances share. Tokens are asked for ahead of need and spent without
 * asking; the first few of a new bucket are spent on credit, so that no request ever waits for an answer. While control
 * cannot be asked, the sidecar counts by itself, as if it were alone.
 */

import type { QuotaReply, QuotaRequest, SnapshotRateLimit } from "../../projections/snapshot.ts";
import type { Bucket } from "./bucket.ts";
import { TokenBucket } from "./token-bucket.ts";

type Lease = QuotaRequest["leases"][number];
type Grant = QuotaReply["grants"][number];

/** Where leases come from. Asks for the bucket, together with others, as soon as it can. */
export interface Quota {
  ask(bucket: LeasedBucket): void;
}

/** Whose tokens they are: in later snapshots it may stand elsewhere in its document, but says the same. */
export interface LeasedLimit {
  readonly id: string;
  readonly source: SnapshotRateLimit;
}

/** A part of the whole may be spent before it is granted, at least one. */
const CREDIT_SHARE = 0.1;
/** By then it is known whether there is more. */
const ANSWER_DUE_MS = 1_000;
/** The largest part of the whole that one instance may hold, so that something is left for the others. */
const LEASE_SHARE = 0.25;

export class LeasedBucket implements Bucket {
  readonly #limit: LeasedLimit;
  readonly #name: string;
  readonly #quota: Quota;
  readonly #credit: number;
  readonly #leaseMax: number;
  /** Below zero: spent on credit. */
  #tokens = 0;
  /** When the tokens in hand expire: unused ones are then lost to all instances. */
  #expiresMs = Number.POSITIVE_INFINITY;
  /** Taken since the last grant, from which follows how many to ask for. */
  #taken = 0;
  #asking = false;
  #refusedUntilMs = 0;
  /** Control is away: this counts in its place. */
  #alone: TokenBucket | undefined;
  #usedMs: number;

  constructor(limit: LeasedLimit, name: string, quota: Quota, nowMs: number) {
    this.#limit = limit;
    this.#name = name;
    this.#quota = quota;
    const whole = limit.source.requests + limit.source.burst;
    this.#credit = Math.max(1, Math.floor(whole * CREDIT_SHARE));
    this.#leaseMax = Math.max(1, Math.floor(whole * LEASE_SHARE));
    this.#usedMs = nowMs;
  }

  waitMs(nowMs: number): number | undefined {
    this.#usedMs = nowMs;
    if (this.#alone !== undefined) {
      this.#ask();
      return this.#alone.waitMs(nowMs);
    }
    if (this.#tokens > 0 && nowMs >= this.#expiresMs) this.#tokens = 0;
    if (this.#tokens > 0) return undefined;
    if (nowMs < this.#refusedUntilMs) return this.#refusedUntilMs - nowMs;
    this.#ask();
    return -this.#tokens < this.#credit ? undefined : Math.min(ANSWER_DUE_MS, this.#limit.source.perMs);
  }

  take(): void {
    this.#taken++;
    if (this.#alone !== undefined) {
      this.#alone.take();
      return;
    }
    this.#tokens--;
    if (this.#tokens <= this.#taken / 2) this.#ask();
  }

  isFull(nowMs: number): boolean {
    return !this.#asking && this.#tokens >= 0 && nowMs - this.#usedMs > this.#limit.source.perMs;
  }

  /** What to ask for now. */
  lease(): Lease {
    const [, document = ""] = this.#limit.source.origin.document.split("/");
    return {
      document,
      rule: this.#limit.source.origin.rule,
      limit: this.#limit.id,
      bucket: this.#name,
      owed: Math.max(0, -this.#tokens),
      wanted: Math.min(this.#leaseMax, Math.max(1, 2 * this.#taken)),
    };
  }

  /** The answer to `asked`. */
  granted(asked: Lease, { granted, retryAfterMs }: Grant, nowMs: number): void {
    this.#asking = false;
    this.#alone = undefined;
    this.#taken = 0;
    this.#tokens += asked.owed + granted;
    if (granted > 0) this.#expiresMs = nowMs + this.#limit.source.perMs;
    if (granted === 0) this.#refusedUntilMs = nowMs + retryAfterMs;
  }

  /** Nobody answered. */
  unanswered(nowMs: number): void {
    this.#asking = false;
    this.#alone ??= new TokenBucket(this.#limit.source, nowMs);
  }

  #ask(): void {
    if (this.#asking) return;
    this.#asking = true;
    this.#quota.ask(this);
  }
}
