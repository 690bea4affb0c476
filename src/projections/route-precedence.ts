/**
 * The order in which Gateway API has the rules of a route tried (HTTPRouteRule, "matches"): the most exact first, whatever
 * their order in the document.
 */

import type { SnapshotRouteMatcher, SnapshotRouteRule } from "./snapshot.ts";

/** Compared place by place; more goes first. */
type Exactness = readonly [path: number, length: number, method: number, headers: number, query: number];

/** Kinds of path; what Gateway API leaves open: a template stands for fewer paths than a prefix, an expression for any. */
const EXACT = 4;
const TEMPLATE = 3;
const PREFIX = 2;
const REGEX = 1;
const ANY = 0;

/** A rule of several matches is as many rules; of those that are alike, the document's first goes first. */
export function mostExactFirst(rules: readonly SnapshotRouteRule[]): SnapshotRouteRule[] {
  return rules
    .flatMap((rule) => (rule.match.length <= 1 ? [rule] : rule.match.map((one) => only(rule, one))))
    .map((rule) => ({ rule, exactness: exactnessOf(rule.match[0] ?? {}) }))
    .sort((left, right) => compare(right.exactness, left.exactness))
    .map(({ rule }) => rule);
}

function only(rule: SnapshotRouteRule, match: SnapshotRouteMatcher): SnapshotRouteRule {
  return { ...rule, match: [match], origin: { ...rule.origin } };
}

function exactnessOf(match: SnapshotRouteMatcher): Exactness {
  const { methods, headers = {}, cookies = {}, query = {} } = match;
  // A cookie is a part of a header.
  const fields = Object.keys(headers).length + Object.keys(cookies).length;
  return [...pathExactness(match), methods === undefined ? 0 : 1, fields, Object.keys(query).length];
}

function pathExactness({ path, grpc = [] }: SnapshotRouteMatcher): readonly [number, number] {
  if (path === undefined) return grpcExactness(grpc);
  if ("exact" in path) return [EXACT, path.exact.length];
  if ("template" in path) return [TEMPLATE, path.template.length];
  return "prefix" in path ? [PREFIX, path.prefix.replace(/\/$/, "").length] : [REGEX, path.regex.length];
}

/** Of gRPC's path, `/package.Service/Method`; of several the least exact. */
function grpcExactness(calls: NonNullable<SnapshotRouteMatcher["grpc"]>): readonly [number, number] {
  const [least] = calls
    .flatMap(({ service, methods }): [number, number][] =>
      methods === undefined
        ? [[PREFIX, service.length + 1]]
        : methods.map((method) => [EXACT, service.length + method.length + 2]),
    )
    .sort(compare);
  return least ?? [ANY, 0];
}

function compare(left: readonly number[], right: readonly number[]): number {
  for (const [at, value] of left.entries()) {
    const difference = value - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
