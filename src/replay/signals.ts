/**
 * Rate, errors and latency out of recorded calls: the golden signals of services, as their callers and policy see them.
 */

import { LatencySketch } from "../telemetry/latency-sketch.ts";
import type { ObservedCalls } from "./traffic-table.ts";

export interface Signals {
  readonly calls: number;
  readonly perSecond: number;
  /** Of the calls, from 0 to 1: answered with 5xx or gRPC's like, or not at all. */
  readonly errors: number;
  /** Likewise: refused by access rules or limits, or without a route. */
  readonly refused: number;
  /** Milliseconds, of the kinds of calls that are let through; undefined where there were none. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

/** Of a service, or of a caller and a service. */
export interface NamedSignals extends Signals {
  readonly name: string;
}

/** What is added up of calls. */
type Counted = Pick<ObservedCalls, "decisions" | "count" | "errors" | "latency">;

/** Adds calls up; `spanMs` is the time that they were counted over. */
export function signalsOf(calls: readonly Counted[], spanMs: number): Signals {
  const latency = latencyOf(calls);
  let [total, errors, refused] = [0, 0, 0];
  for (const { decisions, count, errors: failed } of calls) {
    const { denied = 0, limited = 0, unrouted = 0 } = decisions;
    total += count;
    errors += failed;
    refused += denied + limited + unrouted;
  }
  const ratio = (part: number): number => (total === 0 ? 0 : part / total);
  return {
    calls: total,
    perSecond: spanMs > 0 ? (total * 1_000) / spanMs : 0,
    errors: ratio(errors),
    refused: ratio(refused),
    p50Ms: latency.quantile(0.5),
    p99Ms: latency.quantile(0.99),
  };
}

/** How long calls took, of the kinds that are let through. */
export function latencyOf(calls: readonly Counted[]): LatencySketch {
  const latency = new LatencySketch();
  for (const { decisions, latency: measured } of calls) {
    if ((decisions.allowed ?? 0) > 0) latency.merge(measured.counts());
  }
  return latency;
}

/** By called service, busiest first. */
export function serviceSignals(calls: readonly ObservedCalls[], spanMs: number): NamedSignals[] {
  return named(calls, spanMs, ({ destination }) => destination ?? "unknown");
}

/** By caller and called service, busiest first. */
export function edgeSignals(calls: readonly ObservedCalls[], spanMs: number): NamedSignals[] {
  return named(calls, spanMs, ({ source, destination }) => `${source ?? "unknown"} → ${destination ?? "unknown"}`);
}

function named(
  calls: readonly ObservedCalls[],
  spanMs: number,
  nameOf: (call: ObservedCalls) => string,
): NamedSignals[] {
  return Array.from(Map.groupBy(calls, nameOf), ([name, own]) => ({ name, ...signalsOf(own, spanMs) })).sort(
    (a, b) => b.calls - a.calls,
  );
}
