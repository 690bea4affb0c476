/**
 * Rate limits of an instance whose traffic several workers carry: they lease tokens from here, as instances do of mesh-wide
 * limits from control, which are asked for them on the workers' behalf.
 */

import {
  type QuotaReply,
  type QuotaRequest,
  rateLimitId,
  type ServiceSnapshot,
  type SnapshotRateLimit,
} from "../../../projections/snapshot.ts";
import { TokenBucket } from "../../filters/token-bucket.ts";
import type { AskQuota } from "../../quota-client.ts";

/** Buckets in all; what comes beyond shares one of its rule, until some are full again. */
const BUCKETS_MAX = 10_000;
/** Looked at for that at a time, so that whoever invents names does not make each question walk them all. */
const LOOKED_AT_MAX = 100;

type Lease = QuotaRequest["leases"][number];
type Grant = QuotaReply["grants"][number];

/** A rule that is gone, or one of a snapshot that is not in force yet: the next question will know more. */
const UNKNOWN: Grant = { granted: 0, retryAfterMs: 1_000 };

export class WorkerQuota {
  readonly #askMesh: AskQuota | undefined;
  readonly #nowMs: () => number;
  #rules: ReadonlyMap<string, SnapshotRateLimit> = new Map();
  readonly #buckets = new Map<string, TokenBucket>();

  /**
   * @param askMesh for tokens of mesh-wide limits; absent: they are shared among the workers alone
   * @param nowMs monotonic
   */
  constructor(askMesh: AskQuota | undefined, nowMs: () => number) {
    this.#askMesh = askMesh;
    this.#nowMs = nowMs;
  }

  /** Puts the limits of a snapshot in force; buckets of limits that did not change stay as they are. */
  enforce({ inbound: { rateLimits } }: ServiceSnapshot): void {
    this.#rules = new Map(rateLimits.map((limit) => [`${nameOf(limit)} ${rateLimitId(limit)}`, limit]));
  }

  /** Rejects where control has to be asked and does not answer. */
  async answer({ leases }: QuotaRequest): Promise<QuotaReply> {
    const ofMesh = leases.filter((lease) => this.#isOfMesh(lease));
    const granted = ofMesh.length === 0 ? [] : ((await this.#askMesh?.({ leases: ofMesh }))?.grants ?? []);
    const byLease = new Map(ofMesh.map((lease, index) => [lease, granted[index] ?? UNKNOWN]));
    return { grants: leases.map((lease) => byLease.get(lease) ?? this.#grant(lease)) };
  }

  #isOfMesh(lease: Lease): boolean {
    return this.#askMesh !== undefined && this.#limitOf(lease)?.scope === "mesh";
  }

  /** Workers are of our own version, and say which one they mean. */
  #limitOf({ document, limit = "" }: Lease): SnapshotRateLimit | undefined {
    return this.#rules.get(`${document} ${limit}`);
  }

  #grant(lease: Lease): Grant {
    const { bucket: name, owed, wanted } = lease;
    const limit = this.#limitOf(lease);
    if (limit === undefined) return UNKNOWN;
    const nowMs = this.#nowMs();
    const bucket = this.#bucket(limit, name, nowMs);
    const granted = bucket.lease(owed, wanted, nowMs);
    return { granted, retryAfterMs: bucket.waitMs(nowMs) ?? 0 };
  }

  #bucket(limit: SnapshotRateLimit, name: string, nowMs: number): TokenBucket {
    const rule = [limit.origin.document, rateLimitId(limit)];
    if (this.#buckets.size >= BUCKETS_MAX) this.#forgetFull(nowMs);
    const key = JSON.stringify([...rule, name]);
    const shared = this.#buckets.has(key) || this.#buckets.size < BUCKETS_MAX ? key : JSON.stringify([...rule, ""]);
    let bucket = this.#buckets.get(shared);
    if (bucket === undefined) {
      bucket = new TokenBucket(limit, nowMs);
      this.#buckets.set(shared, bucket);
    }
    return bucket;
  }

  #forgetFull(nowMs: number): void {
    let looked = 0;
    for (const [key, bucket] of this.#buckets) {
      if (++looked > LOOKED_AT_MAX) return;
      this.#buckets.delete(key);
      // Still in use: it moves to the end of the line.
      if (!bucket.isFull(nowMs)) this.#buckets.set(key, bucket);
    }
  }
}

/** Of the document, without its namespace: as leases name it. */
function nameOf({ origin }: SnapshotRateLimit): string {
  return origin.document.split("/")[1] ?? "";
}
