/** How callers guard and repeat their calls to a service: that part of `compile-snapshot.ts`, with its defaults. */

import { parseDuration } from "../policy/duration.ts";
import type { RetryCondition, RouteRule, ServiceSpec } from "../policy/schema.ts";
import type { SnapshotConnectionPool, SnapshotOutlierDetection, SnapshotRetries } from "./snapshot-resilience.ts";

/** What is retried when a rule says only how often: faults after which the request cannot have been processed, or
 * that a gateway in between reports. Never plain 5xx: repeating what an application refused is its owner's choice. */
const RETRY_ON: readonly RetryCondition[] = ["connect-failure", "refused-stream", "reset", "gateway-error"];

/** Share of active requests that may be retries, and the floor for small traffic: Envoy's defaults. */
const RETRY_BUDGET = { percent: 20, minPerSecond: 3 } as const;

/** Envoy's defaults. */
const BACKOFF_BASE_MS = 25;
const BACKOFF_MAX_FACTOR = 10;

/** Envoy's defaults for what a Service that asks for outlier detection leaves out. */
const OUTLIER_DETECTION: SnapshotOutlierDetection = {
  consecutive5xx: 5,
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionPercent: 10,
};

export function compileRetries(retries: NonNullable<RouteRule["retries"]>): SnapshotRetries {
  const { attempts, perTryTimeout, on, statusCodes, backoff, budget } = retries;
  return {
    attempts,
    ...(perTryTimeout === undefined ? {} : { perTryTimeoutMs: milliseconds(perTryTimeout) }),
    on: on ?? [...RETRY_ON],
    ...(statusCodes === undefined ? {} : { statusCodes }),
    ...(backoff === undefined ? {} : { backoff: compileBackoff(backoff) }),
    budget: budget ?? { ...RETRY_BUDGET },
  };
}

/** As in Envoy, the longest wait is ten times the base where only that is given. */
function compileBackoff({ base, max }: NonNullable<NonNullable<RouteRule["retries"]>["backoff"]>) {
  const maxMs = max === undefined ? undefined : milliseconds(max);
  const baseMs = base === undefined ? Math.min(BACKOFF_BASE_MS, maxMs ?? BACKOFF_BASE_MS) : milliseconds(base);
  return { baseMs, maxMs: maxMs ?? baseMs * BACKOFF_MAX_FACTOR };
}

export function compileConnectionPool(pool: ServiceSpec["connectionPool"] = {}): SnapshotConnectionPool {
  const { connectTimeout, idleTimeout, ...bounds } = pool;
  return {
    ...bounds,
    ...(connectTimeout === undefined ? {} : { connectTimeoutMs: milliseconds(connectTimeout) }),
    ...(idleTimeout === undefined ? {} : { idleTimeoutMs: milliseconds(idleTimeout) }),
  };
}

export function compileOutlierDetection(spec: NonNullable<ServiceSpec["outlierDetection"]>): SnapshotOutlierDetection {
  const { consecutive5xx, interval, baseEjectionTime, maxEjectionPercent } = spec;
  return {
    consecutive5xx: consecutive5xx ?? OUTLIER_DETECTION.consecutive5xx,
    intervalMs: interval === undefined ? OUTLIER_DETECTION.intervalMs : milliseconds(interval),
    baseEjectionTimeMs:
      baseEjectionTime === undefined ? OUTLIER_DETECTION.baseEjectionTimeMs : milliseconds(baseEjectionTime),
    maxEjectionPercent: maxEjectionPercent ?? OUTLIER_DETECTION.maxEjectionPercent,
  };
}

/** Documents were validated when they entered the ledger: a duration that does not parse is our own bug. */
export function milliseconds(duration: string): number {
  const durationMs = parseDuration(duration);
  if (durationMs === undefined) throw new Error(`not a duration: ${duration}`);
  return durationMs;
}
