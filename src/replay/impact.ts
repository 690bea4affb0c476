/**
 * What traffic did before a change and after it: rate, errors, refusals and latency of each service that the change is
 * about, out of the traffic ledger. That it came after the change does not prove that it came of it; where to look first
 * is what is told.
 */

import type { RecordedChange } from "../events/change.ts";
import type { ServiceRef } from "../policy/names.ts";
import type { LatencySketch } from "../telemetry/latency-sketch.ts";
import type { TrafficSummary } from "../telemetry/traffic-summary.ts";
import { serviceOfEvent } from "./history.ts";
import { latencyOf, type Signals, signalsOf } from "./signals.ts";
import { type ObservedCalls, TrafficTable } from "./traffic-table.ts";

export type Worsening = "errors" | "refusals" | "latency";

export interface ServiceImpact {
  readonly service: ServiceRef;
  readonly before: Signals;
  readonly after: Signals;
  /** What rose by more than chance would have it. */
  readonly worse: readonly Worsening[];
}

/** Fewer calls on either side say nothing. */
const CALLS_MIN = 30;
/** Standard deviations that a ratio must have risen by, and how far at least. */
const DEVIATIONS_MIN = 3;
const RISE_MIN = 0.01;
/** The bounds of neighbouring buckets are 19% apart: two of them are no accident. */
const SLOWER_MIN = 1.4;

/** Adds up reports around one change. */
export class ChangeImpact {
  readonly #services: ReadonlySet<ServiceRef> | undefined;
  readonly #changedMs: number;
  readonly #windowMs: number;
  readonly #before = new TrafficTable();
  readonly #after = new TrafficTable();

  constructor(
    readonly recorded: RecordedChange,
    windowMs: number,
  ) {
    this.#changedMs = Date.parse(recorded.change.time);
    this.#windowMs = windowMs;
    this.#services = servicesOf(recorded);
  }

  get fromMs(): number {
    return this.#changedMs - this.#windowMs;
  }

  get toMs(): number {
    return this.#changedMs + this.#windowMs;
  }

  /** Counts a report to the side on which the middle of its interval lies. */
  add({ subject, summary }: { readonly subject: string; readonly summary: TrafficSummary }): void {
    const middleMs = (summary.fromMs + summary.toMs) / 2;
    if (middleMs < this.fromMs || middleMs > this.toMs) return;
    (middleMs < this.#changedMs ? this.#before : this.#after).add(subject, summary);
  }

  /** By name of the service; those without a call are left out. */
  impacts(nowMs: number): ServiceImpact[] {
    const [before, after] = [this.#callsByService(this.#before), this.#callsByService(this.#after)];
    const afterSpanMs = Math.min(this.#windowMs, nowMs - this.#changedMs);
    return [...new Set([...before.keys(), ...after.keys()])].sort().map((service) => {
      const [former, later] = [before.get(service) ?? [], after.get(service) ?? []];
      const [was, is] = [signalsOf(former, this.#windowMs), signalsOf(later, afterSpanMs)];
      const worse = worsenings(was, is, slowed(latencyOf(former), latencyOf(later)));
      return { service, before: was, after: is, worse };
    });
  }

  #callsByService(table: TrafficTable): Map<ServiceRef, ObservedCalls[]> {
    const groups = new Map<ServiceRef, ObservedCalls[]>();
    for (const calls of table.calls()) {
      const { destination } = calls;
      if (destination === null || this.#services?.has(destination) === false) continue;
      const group = groups.get(destination);
      if (group === undefined) groups.set(destination, [calls]);
      else group.push(calls);
    }
    return groups;
  }
}

/** Those that the change is about; undefined: the whole mesh. */
function servicesOf({ change }: RecordedChange): ReadonlySet<ServiceRef> | undefined {
  const services = new Set<ServiceRef>();
  for (const event of change.data.events) {
    const service = serviceOfEvent(event);
    if (service !== undefined) services.add(service);
  }
  return services.size === 0 ? undefined : services;
}

function worsenings(before: Signals, after: Signals, isSlower: boolean): Worsening[] {
  if (before.calls < CALLS_MIN || after.calls < CALLS_MIN) return [];
  return [
    ...(rose(before.errors, before.calls, after.errors, after.calls) ? (["errors"] as const) : []),
    ...(rose(before.refused, before.calls, after.refused, after.calls) ? (["refusals"] as const) : []),
    ...(isSlower ? (["latency"] as const) : []),
  ];
}

/** Of few calls the slowest is the 99th percentile, whatever happened: it is the number of slow ones that must have risen. */
function slowed(before: LatencySketch, after: LatencySketch): boolean {
  const bound = (before.quantile(0.99) ?? Number.POSITIVE_INFINITY) * SLOWER_MIN;
  if ((after.quantile(0.99) ?? 0) <= bound) return false;
  return exceeds(before.shareAbove(bound), before.total, after.shareAbove(bound), after.total);
}

function rose(before: number, beforeCalls: number, after: number, afterCalls: number): boolean {
  return after - before >= RISE_MIN && exceeds(before, beforeCalls, after, afterCalls);
}

/** The test for two proportions: whether the second is larger by more than chance would have it. */
function exceeds(before: number, beforeCalls: number, after: number, afterCalls: number): boolean {
  const pooled = (before * beforeCalls + after * afterCalls) / (beforeCalls + afterCalls);
  const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / beforeCalls + 1 / afterCalls));
  return deviation === 0 || (after - before) / deviation >= DEVIATIONS_MIN;
}
