/** When an attempt is repeated, how long to wait, and how many repetitions a service can bear. Pure but for the budget's own count. */

import type { SnapshotRetries } from "../../projections/snapshot.ts";

/** How an attempt ended, before any of its response went on to the caller. */
export type AttemptOutcome =
  | { readonly kind: "status"; readonly status: number }
  /** No connection, or one that never carried the request. */
  | { readonly kind: "connect-failure" }
  /** The peer says that it did nothing (RFC 9113 §8.7). */
  | { readonly kind: "refused" }
  /** The connection or stream ended before a response, or the attempt's own time ran out. */
  | { readonly kind: "reset" | "timeout" };

/** First wait between attempts, doubled with each; as in Envoy. */
const BACKOFF_BASE_MS = 25;
const BACKOFF_MAX_MS = 250;

/** Envoy's reading of the conditions: `5xx` and `gateway-error` include every way of getting no response at all. */
export function isRetriable(outcome: AttemptOutcome, conditions: SnapshotRetries["on"]): boolean {
  for (const condition of conditions) if (matches(outcome, condition)) return true;
  return false;
}

function matches(outcome: AttemptOutcome, condition: SnapshotRetries["on"][number]): boolean {
  const status = outcome.kind === "status" ? outcome.status : 0;
  switch (condition) {
    case "5xx":
      return outcome.kind !== "status" || status >= 500;
    case "gateway-error":
      return outcome.kind !== "status" || (status >= 502 && status <= 504);
    case "connect-failure":
      return outcome.kind === "connect-failure";
    case "reset":
      return outcome.kind === "reset" || outcome.kind === "timeout";
    case "refused-stream":
      return outcome.kind === "refused";
    case "retriable-4xx":
      return status === 409;
  }
}

/** Wait before retry number `retry` (1 for the first): exponential with full jitter. Milliseconds. */
export function backoffMs(retry: number, random: () => number): number {
  return random() * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** (retry - 1));
}

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
