/** What a table takes over from the one before it. */

import { expect, test } from "bun:test";
import type { ServiceSnapshot, SnapshotUpstream } from "../../../src/projections/snapshot.ts";
import { compileRoutes, type RouteTable, type Routing } from "../../../src/proxy/route/compile.ts";
import { routeRule, snapshot, upstream } from "../fixture.ts";

const labels = { version: "v1" };
const subsets = { v1: { version: "v1" }, v2: { version: "v2" } };
const toPart = (subset: string, service?: string): SnapshotUpstream["routes"] => [
  routeRule({ backends: [{ weight: 1, subset, ...(service === undefined ? {} : { service }) }] }),
];

function of(upstreams: readonly SnapshotUpstream[], rest: Partial<ServiceSnapshot> = {}): ServiceSnapshot {
  return snapshot({
    upstreams: Object.fromEntries(upstreams.map((one) => [`${one.namespace}/${one.name}`, one])),
    ...rest,
  });
}

function routed(table: RouteTable, host: string): Routing {
  return table.route({ method: "GET", authority: host, headers: [] }, "/", () => 0);
}

/** Host by host, whether a request gets the very same answer from both. */
function kept(before: RouteTable, after: RouteTable, hosts: readonly string[]): string[] {
  return hosts.filter((host) => routed(before, host) === routed(after, host));
}

test("only services of which something new is said are compiled again", () => {
  const all = Array.from({ length: 50 }, (_, at) => upstream("shop", `s-${at}`, { subsets, routes: toPart("v1") }));
  const hosts = all.map(({ name }) => name);
  const before = compileRoutes(of(all), labels);
  for (const host of hosts) routed(before, host);
  const changed = all.map((one) => (one.name === "s-7" ? { ...one, routes: toPart("v2") } : one));
  const after = compileRoutes(of(changed, { revision: 43 }), labels, before);
  expect(after.revision).toBe(43);
  expect(kept(before, after, hosts)).toEqual(hosts.filter((host) => host !== "s-7"));
  expect(routed(after, "s-7")).toMatchObject({ subset: { name: "v2" } });
  expect(after.upstreams.filter((one, at) => one === before.upstreams[at])).toHaveLength(49);
});

test("parts of a service that are what they were are the same, whatever else is said anew", () => {
  const one = upstream("shop", "a", { subsets, routes: toPart("v1") });
  const before = compileRoutes(of([one]), labels);
  const wider = { ...one, subsets: { v1: { version: "v1" }, v2: { version: "v3" } } };
  const subsetOf = (table: RouteTable): unknown => (routed(table, "a") as { subset?: unknown }).subset;
  const after = compileRoutes(of([wider]), labels, before);
  expect(routed(after, "a")).not.toBe(routed(before, "a"));
  expect(subsetOf(after)).toBe(subsetOf(before));
  const moved = compileRoutes(of([{ ...one, subsets: { v1: { version: "v9" } } }]), labels, after);
  expect(subsetOf(moved)).toMatchObject({ labels: { version: "v9" } });
});

test("a service whose requests go to another is compiled again when that one changes, comes or goes", () => {
  const front = upstream("shop", "front", { routes: toPart("v1", "shop/back") });
  const back = upstream("shop", "back", { subsets });
  const idle = upstream("shop", "idle");
  const missing = compileRoutes(of([front, idle]), labels);
  expect(routed(missing, "front")).toMatchObject({ reason: "unreachable" });
  const there = compileRoutes(of([front, idle, back]), labels, missing);
  expect(routed(there, "front")).toMatchObject({ kind: "route", upstream: { ref: "shop/back" } });
  const other = { ...back, ports: [{ port: 9090, protocol: "http" as const }] };
  const changed = compileRoutes(of([front, idle, other]), labels, there);
  expect(routed(changed, "front")).toMatchObject({ cluster: "outbound|9090|v1|back.shop.mesh.local" });
  const without = compileRoutes(of([front, idle, { ...back, subsets: {} }]), labels, changed);
  expect(routed(without, "front")).toMatchObject({ reason: "no_backend" });
  const gone = compileRoutes(of([front, idle]), labels, without);
  expect(routed(gone, "front")).toMatchObject({ reason: "unreachable" });
  expect(kept(missing, gone, ["idle"])).toEqual(["idle"]);
});

test("what was out of reach and is not any more is found, and the other way round", () => {
  const one = upstream("shop", "a");
  const reason = (table: RouteTable, host: string): string => {
    const found = routed(table, host);
    return found.kind === "miss" ? found.reason : found.kind;
  };
  const closed = compileRoutes(of([], { unreachable: ["a"] }), labels);
  const open = compileRoutes(of([one]), labels, closed);
  const closedAgain = compileRoutes(of([], { unreachable: ["a"] }), labels, open);
  const none = compileRoutes(of([]), labels, closedAgain);
  expect([closed, open, closedAgain, none].map((table) => reason(table, "a.shop:80"))).toEqual([
    "unreachable",
    "route",
    "unreachable",
    "unknown_host",
  ]);
});

test("nothing is taken over from another instance, another service or another trust domain", () => {
  const one = upstream("shop", "a");
  const before = compileRoutes(of([one]), labels);
  routed(before, "a");
  for (const [rest, own] of [
    [{}, { version: "v1" }],
    [{ name: "other" }, labels],
    [{ trustDomain: "other.local" }, labels],
  ] as const) {
    expect(kept(before, compileRoutes(of([one], rest), own, before), ["a"])).toEqual([]);
  }
  expect(kept(before, compileRoutes(of([one]), labels, before), ["a"])).toEqual(["a"]);
});

test("a thousand tables later nothing is held of those before the last", () => {
  let table = compileRoutes(of([upstream("shop", "a"), upstream("shop", "b")]), labels);
  const still = upstream("shop", "a");
  const first: WeakRef<SnapshotUpstream>[] = [];
  for (let revision = 1; revision <= 1_000; revision++) {
    const changing = upstream("shop", "b", { routes: [routeRule({ timeoutMs: revision })] });
    if (revision <= 500) first.push(new WeakRef(changing));
    table = compileRoutes(of([still, changing], { revision }), labels, table);
    routed(table, "a");
  }
  Bun.gc(true);
  // Not none: the collector takes for a reference whatever on the stack looks like one.
  expect(first.filter((one) => one.deref() !== undefined).length).toBeLessThan(50);
  expect(routed(table, "b")).toMatchObject({ rule: { timeoutMs: 1_000 } });
});
