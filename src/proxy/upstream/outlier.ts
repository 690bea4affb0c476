/**
 * Passive health (Envoy's outlier detection): an endpoint that fails several times in a row, or more often than the
 * others, is left out of balancing for a while, for longer each time. This sidecar's own observation: telemetry, never
 * policy.
 */

import type { SnapshotOutlierDetection } from "../../projections/snapshot.ts";
import { GRPC_GATEWAY_ERRORS, GRPC_SERVER_ERRORS } from "../../telemetry/grpc-errors.ts";

/**
 * How an attempt ended: with a response below 500, with 502, 503 or 504, with another 5xx, without a response, or
 * without a connection at all, which is known to be so for the next request as well.
 */
export type Outcome = "success" | "gateway-error" | "server-error" | "no-response" | "unreachable";

/** What a response says of the endpoint; gRPC's statuses count as the HTTP statuses that Envoy maps them to. */
export function outcomeOf(status: number, grpcStatus: number): Outcome {
  if (GRPC_GATEWAY_ERRORS.has(grpcStatus) || (status >= 502 && status <= 504)) return "gateway-error";
  return GRPC_SERVER_ERRORS.has(grpcStatus) || status >= 500 ? "server-error" : "success";
}

/** Why an endpoint is out; as Envoy's metrics have it. */
export type EjectionReason =
  | "consecutive_5xx"
  | "consecutive_gateway_failure"
  | "consecutive_local_origin_failure"
  | "success_rate"
  | "failure_percentage";

/** How long an endpoint that took no connection is left out: this, doubled with each failure in a row. */
const UNREACHABLE_BASE_MS = 500;
const UNREACHABLE_MAX_MS = 10_000;

/** Envoy's `max_ejection_time`, where policy says nothing. */
const EJECTION_TIME_MAX_MS = 300_000;

/** What is remembered of one endpoint. */
export interface OutlierMemory {
  /** Failures in a row, by kind: a failure of one kind may be one of another as well. */
  consecutiveFailures: number;
  consecutiveGatewayErrors: number;
  consecutiveLocalFailures: number;
  /** Within the interval. */
  requests: number;
  successes: number;
  /** Ejections in a row; each lasts one base time longer. Falls again while the endpoint behaves. */
  ejections: number;
  /** Monotonic milliseconds; 0: not ejected. */
  ejectedUntilMs: number;
  /** Of the last ejection. */
  reason: EjectionReason | undefined;
  /** When `ejections` last changed. */
  changedMs: number;
  /** Connections that failed in a row, and until when none is tried where there is a choice. */
  consecutiveUnreachable: number;
  unreachableUntilMs: number;
}

/** The memory of an endpoint of which nothing is known. */
export function newOutlierMemory(): OutlierMemory {
  return {
    consecutiveFailures: 0,
    consecutiveGatewayErrors: 0,
    consecutiveLocalFailures: 0,
    requests: 0,
    successes: 0,
    ejections: 0,
    ejectedUntilMs: 0,
    reason: undefined,
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

/** Whether its ejection lasts. */
export function isEjected(memory: OutlierMemory, nowMs: number): boolean {
  return memory.ejectedUntilMs > nowMs;
}

/**
 * Takes one outcome in. Defined when the endpoint is to be ejected, which `eject` then does if the service can spare
 * it.
 */
export function observe(
  memory: OutlierMemory,
  outcome: Outcome,
  config: SnapshotOutlierDetection,
): EjectionReason | undefined {
  memory.requests++;
  const local = outcome === "no-response" || outcome === "unreachable";
  const gateway = local || outcome === "gateway-error";
  memory.consecutiveLocalFailures = local ? memory.consecutiveLocalFailures + 1 : 0;
  memory.consecutiveGatewayErrors = gateway ? memory.consecutiveGatewayErrors + 1 : 0;
  if (outcome === "success") {
    memory.successes++;
    memory.consecutiveFailures = 0;
    return undefined;
  }
  memory.consecutiveFailures++;
  const { consecutive5xx, consecutiveGatewayErrors = Infinity, consecutiveLocalOriginFailures = Infinity } = config;
  if (memory.consecutiveLocalFailures >= consecutiveLocalOriginFailures) return "consecutive_local_origin_failure";
  if (memory.consecutiveGatewayErrors >= consecutiveGatewayErrors) return "consecutive_gateway_failure";
  return memory.consecutiveFailures >= consecutive5xx ? "consecutive_5xx" : undefined;
}

/** True if one more of `total` endpoints may be out, `ejected` being out already. One always may, but never all. */
export function maySpare(total: number, ejected: number, config: SnapshotOutlierDetection): boolean {
  if (ejected + 1 >= total) return false;
  return ejected === 0 || ((ejected + 1) / total) * 100 <= config.maxEjectionPercent;
}

/** Begins an ejection: by one base time longer for each in a row, up to what policy allows. */
export function eject(
  memory: OutlierMemory,
  reason: EjectionReason,
  config: SnapshotOutlierDetection,
  nowMs: number,
): void {
  // An endpoint that has behaved since its last ejection is forgiven one for each interval.
  const calmMs = nowMs - Math.max(memory.changedMs, memory.ejectedUntilMs);
  const forgiven = memory.ejections === 0 ? 0 : Math.floor(Math.max(0, calmMs) / config.intervalMs);
  memory.ejections = Math.max(0, memory.ejections - forgiven) + 1;
  memory.changedMs = nowMs;
  const { baseEjectionTimeMs, maxEjectionTimeMs = EJECTION_TIME_MAX_MS } = config;
  const longestMs = Math.max(baseEjectionTimeMs, maxEjectionTimeMs);
  memory.ejectedUntilMs = nowMs + Math.min(longestMs, baseEjectionTimeMs * memory.ejections);
  memory.reason = reason;
  memory.consecutiveFailures = 0;
  memory.consecutiveGatewayErrors = 0;
  memory.consecutiveLocalFailures = 0;
}

/** Ends an ejection, and forgets what led to it; whether it takes connections is another matter. */
export function reinstate(memory: OutlierMemory): void {
  const { consecutiveUnreachable, unreachableUntilMs } = memory;
  Object.assign(memory, newOutlierMemory(), { consecutiveUnreachable, unreachableUntilMs });
}

/** Those that did worse than the others since the last time this was asked; counting begins anew. */
export function findOutliers<T extends OutlierMemory>(
  memories: readonly T[],
  { successRate, failurePercentage }: SnapshotOutlierDetection,
): [T, EjectionReason][] {
  const outliers: [T, EjectionReason][] = [];
  if (failurePercentage !== undefined) {
    const judged = memories.filter(({ requests }) => requests >= failurePercentage.requestVolume);
    const limit = 1 - failurePercentage.threshold / 100;
    for (const memory of judged.length >= failurePercentage.minimumHosts ? judged : []) {
      if (rateOf(memory) <= limit) outliers.push([memory, "failure_percentage"]);
    }
  }
  if (successRate !== undefined) {
    const judged = memories.filter(({ requests }) => requests >= successRate.requestVolume);
    const limit = judged.length >= successRate.minimumHosts ? lowestOrdinary(judged, successRate.stdevFactor) : 0;
    for (const memory of judged) if (rateOf(memory) < limit) outliers.push([memory, "success_rate"]);
  }
  for (const memory of memories) {
    memory.requests = 0;
    memory.successes = 0;
  }
  return outliers;
}

/** Mean of the success rates less so many standard deviations. */
function lowestOrdinary(memories: readonly OutlierMemory[], stdevFactor: number): number {
  const rates = memories.map(rateOf);
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
  return mean - stdevFactor * Math.sqrt(variance);
}

function rateOf({ successes, requests }: OutlierMemory): number {
  return successes / requests;
}
