/** How many repetitions a service can bear. */

import type { SnapshotRetries } from "../../projections/snapshot.ts";

/** Requests of this long ago still earn retries. */
const WINDOW_MS = 10_000;
const SLOTS = 10;
const SLOT_MS = WINDOW_MS / SLOTS;

/**
 * Retries as a share of requests, so that a failing service gets at most that much more load: over a sliding window
 * of ten seconds, retries stay under `percent` of the requests plus `minPerSecond`.
 */
export class RetryBudget {
  readonly #requests = new Float64Array(SLOTS);
  readonly #retries = new Float64Array(SLOTS);
  /** Retries under way: the requests that have come to a second attempt and are not over. */
  active = 0;
  #slot = 0;
  #slotStartMs: number;

  constructor(nowMs: number) {
    this.#slotStartMs = nowMs;
  }

  /** Counts a request (not its retries). */
  request(nowMs: number): void {
    this.#advance(nowMs);
    this.#requests[this.#slot] = (this.#requests[this.#slot] ?? 0) + 1;
  }

  /** True if one more retry fits, and then counts it. */
  tryRetry(budget: SnapshotRetries["budget"], nowMs: number): boolean {
    this.#advance(nowMs);
    const allowed = (sum(this.#requests) * budget.percent) / 100 + (budget.minPerSecond * WINDOW_MS) / 1000;
    if (sum(this.#retries) + 1 > allowed) return false;
    this.#retries[this.#slot] = (this.#retries[this.#slot] ?? 0) + 1;
    return true;
  }

  #advance(nowMs: number): void {
    if (nowMs - this.#slotStartMs < SLOT_MS) return;
    const steps = Math.floor((nowMs - this.#slotStartMs) / SLOT_MS);
    for (let step = 0; step < Math.min(steps, SLOTS); step++) {
      this.#slot = (this.#slot + 1) % SLOTS;
      this.#requests[this.#slot] = 0;
      this.#retries[this.#slot] = 0;
    }
    this.#slotStartMs += steps * SLOT_MS;
  }
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
