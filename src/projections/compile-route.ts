/** From one rule of a Route to what sidecars enforce: that part of `compile-snapshot.ts`, with its defaults. */

import { serviceRef } from "../policy/names.ts";
import { byRank } from "../policy/percentiles.ts";
import type { RouteRule } from "../policy/schema.ts";
import { compileRetries, milliseconds } from "./compile-resilience.ts";
import type { RuleOrigin } from "./rule-origin.ts";
import type {
  SnapshotCors,
  SnapshotFault,
  SnapshotMirror,
  SnapshotRouteRule,
  SnapshotSticky,
} from "./snapshot-route.ts";

/** A backend that names no weight counts as one share. */
const BACKEND_WEIGHT = 1;

/** The methods of a CORS policy that names none: the CORS-safelisted ones (Fetch standard). */
const SAFE_METHODS: readonly string[] = ["GET", "HEAD", "POST"];

/** @param local callers as the snapshot names them. */
export function compileRouteRule(
  rule: RouteRule,
  origin: RuleOrigin,
  namespace: string,
  local: (callers: readonly string[]) => string[],
): SnapshotRouteRule {
  const { match = [], backends = [{}], timeout, idleTimeout, retries, maxRequestBytes, cors, mirror, fault } = rule;
  const { sticky, headers, rewrite, redirect, respond } = rule;
  return {
    match: match.map((one) => (one.from === undefined ? one : { ...one, from: local(one.from) })),
    backends: backends.map(({ service, subset, weight, headers: own }) => ({
      ...(service === undefined ? {} : { service: fullRef(service, namespace) }),
      ...(subset === undefined ? {} : { subset }),
      weight: weight ?? BACKEND_WEIGHT,
      ...(own === undefined ? {} : { headers: own }),
    })),
    ...present({ headers, rewrite, redirect, respond }),
    ...(sticky === undefined ? {} : { sticky: compileSticky(sticky) }),
    ...(timeout === undefined ? {} : { timeoutMs: milliseconds(timeout) }),
    ...(idleTimeout === undefined ? {} : { idleTimeoutMs: milliseconds(idleTimeout) }),
    ...(retries === undefined ? {} : { retries: compileRetries(retries) }),
    ...(cors === undefined ? {} : { cors: compileCors(cors) }),
    ...(maxRequestBytes === undefined ? {} : { requestBytesMax: maxRequestBytes }),
    ...(mirror === undefined ? {} : { mirror: compileMirror(mirror, namespace) }),
    ...(fault === undefined ? {} : { fault: compileFault(fault) }),
    origin,
  };
}

function compileCors(cors: NonNullable<RouteRule["cors"]>): SnapshotCors {
  const { origins, methods = [...SAFE_METHODS], headers = [], exposeHeaders = [], credentials = false, maxAge } = cors;
  const maxAgeS = maxAge === undefined ? {} : { maxAgeS: Math.floor(milliseconds(maxAge) / 1000) };
  return { origins, methods, headers, exposeHeaders, credentials, ...maxAgeS };
}

function compileMirror(
  { service, subset, percent = 100 }: NonNullable<RouteRule["mirror"]>,
  namespace: string,
): SnapshotMirror {
  return {
    ...(service === undefined ? {} : { service: fullRef(service, namespace) }),
    ...(subset === undefined ? {} : { subset }),
    percent,
  };
}

/** A fault with its shares said, and durations in milliseconds. */
export function compileFault({ delay, bandwidth, abort }: NonNullable<RouteRule["fault"]>): SnapshotFault {
  return {
    ...(delay === undefined ? {} : { delay: compileDelay(delay) }),
    ...(bandwidth === undefined ? {} : { bandwidth: { ...bandwidth, percent: bandwidth.percent ?? 100 } }),
    ...(abort === undefined ? {} : { abort: { ...abort, percent: abort.percent ?? 100 } }),
  };
}

function compileSticky(sticky: NonNullable<RouteRule["sticky"]>): SnapshotSticky {
  if (!("issue" in sticky)) return sticky;
  const { ttl, path = "/", secure = false } = sticky.issue;
  const maxAgeS = ttl === undefined ? {} : { maxAgeS: Math.max(1, Math.floor(milliseconds(ttl) / 1000)) };
  return { cookie: sticky.cookie, issue: { ...maxAgeS, path, secure } };
}

function compileDelay({
  fixed,
  percentiles,
  percent = 100,
}: NonNullable<NonNullable<RouteRule["fault"]>["delay"]>): NonNullable<SnapshotFault["delay"]> {
  return {
    ...(fixed === undefined ? {} : { fixedMs: milliseconds(fixed) }),
    ...(percentiles === undefined
      ? {}
      : {
          percentiles: byRank(percentiles).map(({ percentile, value }) => ({ percentile, ms: milliseconds(value) })),
        }),
    percent,
  };
}

/** `name` is of the route's own namespace. */
function fullRef(service: string, namespace: string): string {
  return service.includes("/") ? service : serviceRef(namespace, service);
}

/** The fields that have a value. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
