/** A bucket that this sidecar fills by itself. */

import type { SnapshotRateLimit } from "../../projections/snapshot.ts";
import type { Bucket } from "./bucket.ts";

type Rate = Pick<SnapshotRateLimit, "requests" | "perMs" | "burst">;

export class TokenBucket implements Bucket {
  readonly #rate: Rate;
  #tokens: number;
  /** Monotonic milliseconds of the last fill. */
  #filledMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.requests + rate.burst;
    this.#filledMs = nowMs;
  }

  waitMs(nowMs: number): number | undefined {
    this.#fill(nowMs);
    if (this.#tokens >= 1) return undefined;
    // What was spent on credit may take more than the next interval to pay.
    const intervals = Math.ceil((1 - this.#tokens) / this.#rate.requests);
    return this.#filledMs + intervals * this.#rate.perMs - nowMs;
  }

  take(): void {
    this.#tokens--;
  }

  /** Takes what was spent already, and up to `wanted` of what is there then; returns how many. */
  lease(owed: number, wanted: number, nowMs: number): number {
    this.#fill(nowMs);
    this.#tokens -= owed;
    const granted = Math.max(0, Math.min(wanted, this.#tokens));
    this.#tokens -= granted;
    return granted;
  }

  isFull(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#tokens >= this.#rate.requests + this.#rate.burst;
  }

  #fill(nowMs: number): void {
    const { requests, burst, perMs } = this.#rate;
    const intervals = Math.floor((nowMs - this.#filledMs) / perMs);
    if (intervals <= 0) return;
    this.#tokens = Math.min(requests + burst, this.#tokens + intervals * requests);
    this.#filledMs += intervals * perMs;
  }
}
