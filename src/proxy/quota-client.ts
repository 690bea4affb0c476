/** Asks control for tokens of mesh-wide rate limits: for all buckets that need some at once, one question at a time. */

import { LEASES_PER_REQUEST_MAX, type QuotaReply, type QuotaRequest } from "../projections/snapshot.ts";
import type { LeasedBucket, Quota } from "./filters/leased-bucket.ts";
import { Timer } from "./io/timers.ts";
import type { Runtime } from "./runtime.ts";

/** Sends a question; rejects where control does not answer. */
export type AskQuota = (request: QuotaRequest) => Promise<QuotaReply>;

/** Between an answer and the request for what waits by then. */
const ASK_EVERY_MS = 20;
/** The same where there was no answer. */
const PAUSE_MS = 1_000;

export class QuotaClient implements Quota {
  readonly #runtime: Runtime;
  readonly #askQuota: AskQuota;
  readonly #waiting = new Set<LeasedBucket>();
  readonly #timer = new Timer(() => void this.#send());
  #sending = false;

  constructor(runtime: Runtime, askQuota: AskQuota) {
    this.#runtime = runtime;
    this.#askQuota = askQuota;
  }

  ask(bucket: LeasedBucket): void {
    this.#waiting.add(bucket);
    if (!this.#sending && !this.#timer.armed) this.#sendSoon(0);
  }

  #sendSoon(delayMs: number): void {
    this.#runtime.timers.arm(this.#timer, delayMs);
  }

  async #send(): Promise<void> {
    const buckets = [...this.#waiting].slice(0, LEASES_PER_REQUEST_MAX);
    for (const bucket of buckets) this.#waiting.delete(bucket);
    const leases = buckets.map((bucket) => bucket.lease());
    this.#sending = true;
    let pauseMs = ASK_EVERY_MS;
    try {
      const { grants } = await this.#askQuota({ leases });
      const nowMs = this.#runtime.monotonicMs();
      for (const [at, bucket] of buckets.entries()) {
        const [asked, grant] = [leases[at], grants[at]];
        if (asked === undefined || grant === undefined) bucket.unanswered(nowMs);
        else bucket.granted(asked, grant, nowMs);
      }
    } catch {
      for (const bucket of buckets) bucket.unanswered(this.#runtime.monotonicMs());
      pauseMs = PAUSE_MS;
    }
    this.#sending = false;
    // With nothing waiting, the next bucket that needs tokens asks at once.
    if (this.#waiting.size > 0) this.#sendSoon(pauseMs);
  }
}
