/** Calls that the traffic ledger holds, added up over instances and intervals. */

import type { ServiceRef } from "../policy/names.ts";
import { LatencySketch } from "../telemetry/latency-sketch.ts";
import type { CallDecision, TrafficCall, TrafficSummary } from "../telemetry/traffic-summary.ts";

/** All calls of one kind: the same caller, callee, method and path template. */
export interface ObservedCalls {
  readonly source: ServiceRef | null;
  readonly destination: ServiceRef | null;
  readonly method: string;
  /** `/orders/{}`; `*` where the sidecar had no room to tell paths apart; empty for TCP connections. */
  readonly path: string;
  readonly decisions: Partial<Record<CallDecision, number>>;
  count: number;
  errors: number;
  readonly latency: LatencySketch;
}

export class TrafficTable {
  readonly #calls = new Map<string, ObservedCalls>();
  /** Of each instance, the last summary that was added. */
  readonly #last = new Map<string, number>();
  /** By instance: calls that it could not report, since its start. */
  readonly #dropped = new Map<string, number>();

  /** Adds a summary of `subject`; false for one that was stored twice. */
  add(subject: string, { epoch, sequence, calls, droppedCalls }: TrafficSummary): boolean {
    const key = `${subject} ${epoch}`;
    if (sequence <= (this.#last.get(key) ?? 0)) return false;
    this.#last.set(key, sequence);
    this.#dropped.set(key, droppedCalls);
    for (const call of calls) this.#addCalls(call);
    return true;
  }

  /** In the order of their first appearance. */
  calls(): ObservedCalls[] {
    return [...this.#calls.values()];
  }

  get total(): number {
    return this.calls().reduce((sum, { count }) => sum + count, 0);
  }

  get dropped(): number {
    return [...this.#dropped.values()].reduce((sum, count) => sum + count, 0);
  }

  #addCalls({ source, destination, method, path, decision, count, errors, latency }: TrafficCall): void {
    const key = `${source} ${destination} ${method} ${path}`;
    let known = this.#calls.get(key);
    if (known === undefined) {
      const empty = { decisions: {}, count: 0, errors: 0, latency: new LatencySketch() };
      known = { source, destination, method, path, ...empty };
      this.#calls.set(key, known);
    }
    known.count += count;
    known.errors += errors;
    known.decisions[decision] = (known.decisions[decision] ?? 0) + count;
    known.latency.merge(latency);
  }
}
