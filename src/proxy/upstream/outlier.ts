/**
 * Passive health (outlier detection, Envoy's consecutive 5xx): an endpoint that fails several times in a row is left
 * out of balancing for a while, for longer each time. This sidecar's own observation: telemetry, never policy.
 */

import type { SnapshotOutlierDetection } from "../../projections/snapshot.ts";

/**
 * How an attempt ended: with a response below 500, with a failure of the service, or without a connection at all, which
 * is known to be so for the next request as well.
 */
export type Outcome = "success" | "failure" | "unreachable";

/** How long an endpoint that took no connection is left out: this, doubled with each failure in a row. */
const UNREACHABLE_BASE_MS = 500;
const UNREACHABLE_MAX_MS = 10_000;

/** What is remembered of one endpoint. */
export interface OutlierMemory {
  consecutiveFailures: number;
  /** Ejections in a row; each lasts one base time longer. Falls again while the endpoint behaves. */
  ejections: number;
  /** Monotonic milliseconds; 0: not ejected. */
  ejectedUntilMs: number;
  /** When `ejections` last changed. */
  changedMs: number;
  /** Connections that failed in a row, and until when none is tried where there is a choice. */
  consecutiveUnreachable: number;
  unreachableUntilMs: number;
}

export function newOutlierMemory(): OutlierMemory {
  return {
    consecutiveFailures: 0,
    ejections: 0,
    ejectedUntilMs: 0,
    changedMs: 0,
    consecutiveUnreachable: 0,
    unreachableUntilMs: 0,
  };
}

/** Left out of balancing, for either reason. */
export function isAvoided(memory: OutlierMemory, nowMs: number): boolean {
  return memory.ejectedUntilMs > nowMs || memory.unreachableUntilMs > nowMs;
}

/** Notes whether the endpoint takes connections; whatever policy says of outliers, one that takes none is no choice. */
export function noteReachability(memory: OutlierMemory, reachable: boolean, nowMs: number): void {
  if (reachable) {
    memory.consecutiveUnreachable = 0;
    memory.unreachableUntilMs = 0;
    return;
  }
  // Many requests find out at once that it is gone: that is one failure.
  if (memory.unreachableUntilMs > nowMs) return;
  const backoffMs = Math.min(UNREACHABLE_MAX_MS, UNREACHABLE_BASE_MS * 2 ** memory.consecutiveUnreachable);
  memory.consecutiveUnreachable++;
  memory.unreachableUntilMs = nowMs + backoffMs;
}

export function isEjected(memory: OutlierMemory, nowMs: number): boolean {
  return memory.ejectedUntilMs > nowMs;
}

/**
 * Takes one outcome in: a response of 5xx, or none at all, is a failure. True when the endpoint is to be ejected, which
 * `eject` then does if the service can spare it.
 */
export function observe(
  memory: OutlierMemory,
  failed: boolean,
  config: SnapshotOutlierDetection,
  nowMs: number,
): boolean {
  if (!failed) {
    memory.consecutiveFailures = 0;
    return false;
  }
  memory.consecutiveFailures++;
  return memory.consecutiveFailures >= config.consecutive5xx && !isEjected(memory, nowMs);
}

/** True if one more of `total` endpoints may be out, `ejected` being out already. One always may, but never all. */
export function maySpare(total: number, ejected: number, config: SnapshotOutlierDetection): boolean {
  if (ejected + 1 >= total) return false;
  return ejected === 0 || ((ejected + 1) / total) * 100 <= config.maxEjectionPercent;
}

export function eject(memory: OutlierMemory, config: SnapshotOutlierDetection, nowMs: number): void {
  // An endpoint that has behaved since its last ejection is forgiven one for each interval.
  const calmMs = nowMs - Math.max(memory.changedMs, memory.ejectedUntilMs);
  const forgiven = memory.ejections === 0 ? 0 : Math.floor(Math.max(0, calmMs) / config.intervalMs);
  memory.ejections = Math.max(0, memory.ejections - forgiven) + 1;
  memory.changedMs = nowMs;
  memory.ejectedUntilMs = nowMs + config.baseEjectionTimeMs * memory.ejections;
  memory.consecutiveFailures = 0;
}
