/** The order of Gateway API, against the table of its specification (HTTPRouteRule, GRPCRouteRule), each pair both ways. */

import { expect, test } from "bun:test";
import { mostExactFirst } from "../../src/projections/route-precedence.ts";
import type { SnapshotRouteMatcher, SnapshotRouteRule } from "../../src/projections/snapshot.ts";
import { routeRule } from "../proxy/fixture.ts";

const some = { present: true };

test.each<[title: string, first: SnapshotRouteMatcher, second: SnapshotRouteMatcher]>([
  ["an exact path before a longer prefix", { path: { exact: "/a" } }, { path: { prefix: "/a/long/prefix" } }],
  ["the longer prefix before the shorter", { path: { prefix: "/a/b" } }, { path: { prefix: "/a" } }],
  ["a path before a method", { path: { prefix: "/a" } }, { methods: ["GET"] }],
  ["a path before any number of headers", { path: { prefix: "/a" } }, { headers: { a: some, b: some } }],
  ["a method before headers", { methods: ["GET"] }, { headers: { a: some, b: some } }],
  ["more headers before fewer", { headers: { a: some, b: some } }, { headers: { a: some } }],
  ["a cookie counts as a header", { headers: { a: some }, cookies: { b: some } }, { headers: { a: some } }],
  ["a header before any number of parameters", { headers: { a: some } }, { query: { a: some, b: some } }],
  ["more parameters before fewer", { query: { a: some, b: some } }, { query: { a: some } }],
  ["anything before nothing", { query: { a: some } }, {}],
  ["at the same path, the method", { path: { exact: "/a" }, methods: ["GET"] }, { path: { exact: "/a" } }],
  ["a template before a prefix", { path: { template: "/{a}" } }, { path: { prefix: "/a/b/c" } }],
  ["a prefix before an expression", { path: { prefix: "/a" } }, { path: { regex: "/a.*" } }],
  [
    "a gRPC method before its service",
    { grpc: [{ service: "s.v1.P", methods: ["M"] }] },
    { grpc: [{ service: "s.v1.P" }] },
  ],
  ["the longer gRPC service", { grpc: [{ service: "s.v1.Pay" }] }, { grpc: [{ service: "s.v1.*" }] }],
  [
    "of several gRPC services the least exact counts",
    { grpc: [{ service: "s.v1.Pay" }] },
    { grpc: [{ service: "s.v1.Pay", methods: ["M"] }, { service: "s.*" }] },
  ],
])("%s", (_, first, second) => {
  const rules = [routeRule({ match: [first] }, 0), routeRule({ match: [second] }, 1)];
  const indexes = (given: readonly SnapshotRouteRule[]) => mostExactFirst(given).map(({ origin }) => origin.rule);
  expect(indexes(rules)).toEqual([0, 1]);
  expect(indexes(rules.toReversed())).toEqual([0, 1]);
});

test("what is alike keeps its order, and each match of a rule has its own place", () => {
  const slash = routeRule({ match: [{ path: { prefix: "/a" } }] }, 0);
  const alike = routeRule({ match: [{ path: { prefix: "/a/" } }], timeoutMs: 1 }, 1);
  const both = routeRule({ match: [{ path: { exact: "/b" } }, {}], timeoutMs: 2 }, 2);
  const all = routeRule({ match: [] }, 3);
  expect(mostExactFirst([all, both, slash, alike])).toEqual([
    { ...both, match: [{ path: { exact: "/b" } }] },
    slash,
    alike,
    all,
    { ...both, match: [{}] },
  ]);
});
