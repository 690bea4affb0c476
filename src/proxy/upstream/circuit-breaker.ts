/**
 * Circuit breaking: how much may be under way towards one service at once. Calls beyond that fail at once, so that a
 * service under load gets no more of it, and its callers need not wait to learn so.
 */

import type { Upstream } from "../route/compile.ts";
import type { EndpointState } from "./member.ts";
import type { RetryBudget } from "./retry-budget.ts";

/** Which bound was met; as policy names it. */
export type CircuitBound = "maxConnections" | "maxPendingRequests" | "maxRequests" | "maxRetries";

export class CircuitBreaker {
  /** Times that each bound was met. */
  readonly overflows = new Map<CircuitBound, number>();
  #bounds: Upstream["connectionPool"] = {};

  constructor(
    private readonly endpoints: () => readonly EndpointState[],
    private readonly retries: RetryBudget,
  ) {}

  configure(bounds: Upstream["connectionPool"]): void {
    this.#bounds = bounds;
  }

  /** Bounds and times of connections, as policy has them now. */
  get bounds(): Upstream["connectionPool"] {
    return this.#bounds;
  }

  /** Whether nothing more is taken of something. */
  get isOpen(): boolean {
    return (
      this.#isFull("maxConnections") ||
      this.#isFull("maxPendingRequests") ||
      this.#isFull("maxRequests") ||
      this.#isFull("maxRetries")
    );
  }

  /** True if there is room for one more; otherwise that is counted. */
  takes(bound: CircuitBound): boolean {
    if (!this.#isFull(bound)) return true;
    this.overflows.set(bound, (this.overflows.get(bound) ?? 0) + 1);
    return false;
  }

  /**
   * Whether copies may have one more connection: those of requests leave it room. It is no overflow where they may not.
   */
  sparesConnection(): boolean {
    const opened = sum(this.endpoints(), ({ pool }) => pool.openedWithCopies);
    return opened < (this.#bounds.maxConnections ?? Number.POSITIVE_INFINITY);
  }

  #isFull(bound: CircuitBound): boolean {
    const max = this.#bounds[bound];
    return max !== undefined && this.#count(bound) >= max;
  }

  #count(bound: CircuitBound): number {
    switch (bound) {
      case "maxConnections":
        return sum(this.endpoints(), ({ pool }) => pool.opened);
      case "maxPendingRequests":
        return sum(this.endpoints(), ({ pool }) => pool.pending);
      case "maxRequests":
        return sum(this.endpoints(), ({ active, copies = 0 }) => active - copies);
      case "maxRetries":
        return this.retries.active;
    }
  }
}

function sum<T>(items: readonly T[], count: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += count(item);
  return total;
}
