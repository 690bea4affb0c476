/** Calls that the traffic ledger holds, added up over instances and intervals. */

import type { ServiceRef } from "../policy/names.ts";
import { LatencySketch } from "../telemetry/latency-sketch.ts";
import type { CallDecision, DecidedCall, TrafficCall, TrafficSummary } from "../telemetry/traffic-summary.ts";

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

/** Names an instance since one start of it. */
export function reporterKey(subject: string, epoch: number): string {
  return `${subject} ${epoch}`;
}

type CallKind = Pick<ObservedCalls, "source" | "destination" | "method" | "path">;

/** An instance since one start of it, its last summary that was added, and the calls that it had not reported by then. */
export type Reporter = readonly [reporter: string, sequence: number, droppedCalls: number];

export class TrafficTable {
  readonly #calls = new Map<string, ObservedCalls>();
  /** Of each instance, the last summary that was added. */
  readonly #last = new Map<string, number>();
  /** By instance: calls that it could not report, since its start. */
  readonly #dropped = new Map<string, number>();

  /** Adds a summary of `subject`; false for one that was stored twice. */
  add(subject: string, { epoch, sequence, calls, droppedCalls }: TrafficSummary): boolean {
    const key = reporterKey(subject, epoch);
    if (this.has(key, sequence)) return false;
    this.#last.set(key, sequence);
    this.#dropped.set(key, droppedCalls);
    for (const call of calls) this.#addCall(call);
    return true;
  }

  /** Whether a summary of that instance, or a later one, was added. */
  has(reporter: string, sequence: number): boolean {
    return sequence <= (this.#last.get(reporter) ?? 0);
  }

  /** Adds summaries that another table added up; they come after all that were added here. */
  addRolled({
    reporters,
    calls,
  }: {
    readonly reporters: Iterable<Reporter>;
    readonly calls: Iterable<DecidedCall>;
  }): void {
    for (const [reporter, sequence, dropped] of reporters) {
      this.#last.set(reporter, sequence);
      this.#dropped.set(reporter, dropped);
    }
    for (const { decisions, latency, ...rest } of calls) {
      const known = this.#callsOf(rest);
      known.count += rest.count;
      known.errors += rest.errors;
      for (const [decision, count] of Object.entries(decisions)) addDecisions(known, decision as CallDecision, count);
      known.latency.merge(latency);
    }
  }

  /** For `addRolled`: instances of which summaries were added here, and what they said. */
  reporters(): Reporter[] {
    return Array.from(this.#dropped, ([reporter, dropped]) => [reporter, this.#last.get(reporter) ?? 0, dropped]);
  }

  /** All calls as data. */
  rolled(): DecidedCall[] {
    return this.calls().map((calls) => ({ ...calls, latency: calls.latency.counts() }));
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

  #addCall({ decision, latency, ...rest }: TrafficCall): void {
    const known = this.#callsOf(rest);
    known.count += rest.count;
    known.errors += rest.errors;
    addDecisions(known, decision, rest.count);
    known.latency.merge(latency);
  }

  #callsOf({ source, destination, method, path }: CallKind): ObservedCalls {
    const key = `${source} ${destination} ${method} ${path}`;
    let known = this.#calls.get(key);
    if (known === undefined) {
      const empty = { decisions: {}, count: 0, errors: 0, latency: new LatencySketch() };
      known = { source, destination, method, path, ...empty };
      this.#calls.set(key, known);
    }
    return known;
  }
}

function addDecisions({ decisions }: ObservedCalls, decision: CallDecision, count: number): void {
  decisions[decision] = (decisions[decision] ?? 0) + count;
}
