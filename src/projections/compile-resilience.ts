/** How callers guard and repeat their calls to a service: that part of `compile-snapshot.ts`, with its defaults. */

import { parseDuration } from "../policy/duration.ts";
import type { RateLimitSpec, RetryCondition, RouteRule, ServiceSpec } from "../policy/schema.ts";
import type { RuleOrigin, SnapshotRateLimit } from "./snapshot.ts";
import type {
  SnapshotBalancing,
  SnapshotConnectionPool,
  SnapshotHealthCheck,
  SnapshotOutlierDetection,
  SnapshotRetries,
} from "./snapshot-resilience.ts";

/** What is retried when a rule says only how often: faults after which the request cannot have been processed, or
 * that a gateway in between reports. Never plain 5xx: repeating what an application refused is its owner's choice. */
const RETRY_ON: readonly RetryCondition[] = ["connect-failure", "refused-stream", "reset", "gateway-error"];

/** Share of active requests that may be retries, and the floor for small traffic: Envoy's defaults. */
const RETRY_BUDGET = { percent: 20, minPerSecond: 3 } as const;

/** Envoy's defaults. */
const BACKOFF_BASE_MS = 25;
const BACKOFF_MAX_FACTOR = 10;

/** A rule's retries with every default said. */
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

/** A service's bounds on connections and requests, with times in milliseconds. */
export function compileConnectionPool(pool: ServiceSpec["connectionPool"] = {}): SnapshotConnectionPool {
  const { connectTimeout, idleTimeout, ...bounds } = pool;
  return {
    ...bounds,
    ...(connectTimeout === undefined ? {} : { connectTimeoutMs: milliseconds(connectTimeout) }),
    ...(idleTimeout === undefined ? {} : { idleTimeoutMs: milliseconds(idleTimeout) }),
  };
}

/** Envoy's defaults for what a Service that asks for it leaves out. */
export function compileOutlierDetection(spec: OutlierSpec): SnapshotOutlierDetection {
  const { interval, baseEjectionTime, maxEjectionTime, successRate, failurePercentage, ...rest } = spec;
  const { consecutive5xx = 5, maxEjectionPercent = 10 } = rest;
  return {
    ...rest,
    consecutive5xx,
    maxEjectionPercent,
    ...(successRate === undefined ? {} : { successRate: compileSuccessRate(successRate) }),
    ...(failurePercentage === undefined ? {} : { failurePercentage: compileFailurePercentage(failurePercentage) }),
    intervalMs: milliseconds(interval ?? "10s"),
    baseEjectionTimeMs: milliseconds(baseEjectionTime ?? "30s"),
    ...(maxEjectionTime === undefined ? {} : { maxEjectionTimeMs: milliseconds(maxEjectionTime) }),
  };
}

type OutlierSpec = NonNullable<ServiceSpec["outlierDetection"]>;

function compileSuccessRate({
  stdevFactor = 1.9,
  minimumHosts = 5,
  requestVolume = 100,
}: NonNullable<OutlierSpec["successRate"]>) {
  return { stdevFactor, minimumHosts, requestVolume };
}

function compileFailurePercentage({
  threshold,
  minimumHosts = 5,
  requestVolume = 50,
}: NonNullable<OutlierSpec["failurePercentage"]>) {
  return { threshold, minimumHosts, requestVolume };
}

/** What there is to say beside the algorithm; undefined where there is nothing. */
export function compileBalancing(
  { hash, slowStart, locality, failover }: NonNullable<ServiceSpec["loadBalancer"]>,
  namespace: string,
): SnapshotBalancing | undefined {
  const balancing: SnapshotBalancing = {
    ...(hash === undefined ? {} : { hash }),
    ...(slowStart === undefined ? {} : { slowStartMs: milliseconds(slowStart) }),
    ...(locality === undefined ? {} : { locality }),
    ...(failover === undefined ? {} : { failover: failover.includes("/") ? failover : `${namespace}/${failover}` }),
  };
  return Object.keys(balancing).length === 0 ? undefined : balancing;
}

/** How a service's sidecars ask their application. */
export function compileHealthCheck(spec: NonNullable<ServiceSpec["healthCheck"]>): SnapshotHealthCheck {
  const { http, grpc, interval = "2s", timeout = "2s", unhealthyThreshold = 2, healthyThreshold = 1 } = spec;
  return {
    check: http === undefined ? { kind: grpc === undefined ? "tcp" : "grpc" } : { kind: "http", path: http.path },
    intervalMs: milliseconds(interval),
    timeoutMs: milliseconds(timeout),
    unhealthyThreshold,
    healthyThreshold,
  };
}

/** One rule of a RateLimit; `origin` names it in refusals. */
export function compileRateLimit(rule: RateLimitSpec["rules"][number], origin: RuleOrigin): SnapshotRateLimit {
  const { match = [], requests, per, burst = 0, by = [], scope } = rule;
  const keys = Array.isArray(by) ? by : [by];
  const others = keys.filter((key) => key !== "source");
  return {
    match,
    requests,
    perMs: milliseconds(per),
    burst,
    bySource: keys.includes("source"),
    ...(others.length === 0 ? {} : { by: others }),
    ...(scope === "mesh" ? { scope } : {}),
    origin,
  };
}

/** Documents were validated when they entered the ledger: a duration that does not parse is our own bug. */
export function milliseconds(duration: string): number {
  const durationMs = parseDuration(duration);
  if (durationMs === undefined) throw new Error(`not a duration: ${duration}`);
  return durationMs;
}
