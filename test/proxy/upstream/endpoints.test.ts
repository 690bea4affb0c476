import { expect, test } from "bun:test";
import { LOAD_BALANCERS } from "../../../src/policy/schema.ts";
import type { Endpoint } from "../../../src/projections/snapshot.ts";
import type { Subset } from "../../../src/proxy/route/compile.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { ServiceEndpoints } from "../../../src/proxy/upstream/endpoints.ts";
import type { EndpointState } from "../../../src/proxy/upstream/member.ts";
import { Pool } from "../../../src/proxy/upstream/pool.ts";

const runtime = systemRuntime();
const makePool = ({ host, port }: Endpoint): Pool => new Pool({ address: { host, port }, runtime, protocol: "h2" });

function endpoint(instance: string, labels: Record<string, string> = {}): Endpoint {
  return { instance, host: "127.0.0.1", port: 1, labels };
}

function set(version: number, ...endpoints: Endpoint[]) {
  return { namespace: "shop", name: "catalog", version, endpoints };
}

function serviceOf(...endpoints: Endpoint[]): ServiceEndpoints {
  const service = new ServiceEndpoints(() => 0);
  service.replace(set(1, ...endpoints), makePool);
  return service;
}

type Algorithm = Parameters<ServiceEndpoints["configure"]>[0]["loadBalancer"];

function pick(
  service: ServiceEndpoints,
  algorithm: Algorithm,
  subset: Subset | undefined,
  tried: readonly EndpointState[],
  random: () => number,
): EndpointState | undefined {
  service.configure({ loadBalancer: algorithm, balancing: undefined, connectionPool: {}, outlierDetection: undefined });
  return service.pick({ subset, tried, random });
}

const nameOf = (state: EndpointState | undefined): string | undefined => state?.endpoint.instance;
/** Draws these numbers, one after the other, again and again. */
function draws(...numbers: number[]): () => number {
  let at = 0;
  return () => numbers[at++ % numbers.length] ?? 0;
}

test("nothing to pick from", () => {
  expect(pick(serviceOf(), "random", undefined, [], Math.random)).toBeUndefined();
});

test("round robin takes turns", () => {
  const service = serviceOf(endpoint("a"), endpoint("b"), endpoint("c"));
  const picked = Array.from({ length: 9 }, () => nameOf(pick(service, "round-robin", undefined, [], Math.random)));
  for (const name of ["a", "b", "c"]) expect(picked.filter((one) => one === name)).toHaveLength(3);
  expect(new Set(picked.slice(0, 3)).size).toBe(3);
});

test("least request is the less busy of two drawn at random, which are never the same", () => {
  const service = serviceOf(endpoint("a"), endpoint("b"), endpoint("c"));
  const [a, b, c] = service.all;
  if (a === undefined || b === undefined || c === undefined) throw new Error("three endpoints");
  a.active = 5;
  b.active = 1;
  c.active = 3;
  // First draw: which is the first; second: which of the others.
  expect(nameOf(pick(service, "least-request", undefined, [], draws(0, 0)))).toBe("b");
  expect(nameOf(pick(service, "least-request", undefined, [], draws(0, 0.99)))).toBe("c");
  expect(nameOf(pick(service, "least-request", undefined, [], draws(0.99, 0)))).toBe("c");
  expect(nameOf(pick(service, "least-request", undefined, [], draws(0.4, 0.99)))).toBe("b");
  // The busiest of all is never picked.
  for (let round = 0; round < 200; round++) {
    expect(nameOf(pick(service, "least-request", undefined, [], Math.random))).not.toBe("a");
  }
});

test("least request spreads an even load evenly", () => {
  const service = serviceOf(...Array.from({ length: 10 }, (_, index) => endpoint(`e${index}`)));
  for (let round = 0; round < 1_000; round++) {
    const state = pick(service, "least-request", undefined, [], Math.random);
    if (state !== undefined) state.active++;
  }
  // Two choices keep the fullest within a few of the mean; one random choice would be some 25 off.
  for (const { active } of service.all) expect(Math.abs(active - 100)).toBeLessThan(12);
});

test("an endpoint that was tried is avoided as long as there is another", () => {
  const service = serviceOf(endpoint("a"), endpoint("b"));
  const [a] = service.all;
  if (a === undefined) throw new Error("two endpoints");
  for (const algorithm of LOAD_BALANCERS) {
    for (let round = 0; round < 20; round++) {
      expect(nameOf(pick(service, algorithm, undefined, [a], Math.random))).toBe("b");
    }
    expect(pick(service, algorithm, undefined, service.all, Math.random)).toBeDefined();
  }
});

test("a subset is all that bear its labels, as they are now", () => {
  const v2: Subset = { name: "v2", labels: { version: "v2", zone: "a" } };
  const service = serviceOf(
    endpoint("old", { version: "v1", zone: "a" }),
    endpoint("new", { version: "v2", zone: "a", extra: "x" }),
    endpoint("far", { version: "v2", zone: "b" }),
  );
  for (let round = 0; round < 10; round++) expect(nameOf(pick(service, "random", v2, [], Math.random))).toBe("new");
  // The instance comes back as another version: the subset is empty, but the endpoint keeps its pool and its load.
  const known = service.all[1];
  if (known === undefined) throw new Error("three endpoints");
  known.active = 7;
  service.replace(set(2, endpoint("new", { version: "v3", zone: "a" })), makePool);
  expect(pick(service, "random", v2, [], Math.random)).toBeUndefined();
  expect(service.all[0]).toBe(known);
  expect(service.all[0]?.active).toBe(7);
});

test("an older set, or the same again, is dropped", () => {
  const service = serviceOf(endpoint("a"));
  expect(service.replace(set(3, endpoint("b")), makePool)).toBe(true);
  expect(service.replace(set(3, endpoint("c")), makePool)).toBe(false);
  expect(service.replace(set(2, endpoint("c")), makePool)).toBe(false);
  expect([service.version, service.all.map(nameOf)]).toEqual([3, ["b"]]);
});

test("the same instance at another address is another endpoint", () => {
  const service = serviceOf(endpoint("a"));
  const [before] = service.all;
  service.replace(set(2, { ...endpoint("a"), port: 2 }), makePool);
  expect(service.all[0]).not.toBe(before as EndpointState);
});

test("whoever waited for an endpoint that left picks among those that stay, and not that one again", () => {
  const service = serviceOf(endpoint("gone"), endpoint("stays"));
  const picked: (string | undefined)[] = [];
  service.all[0]?.pool.acquire({
    onConnection() {},
    onNoConnection: () => void picked.push(nameOf(pick(service, "random", undefined, [], Math.random))),
  });
  service.replace(set(2, endpoint("stays")), makePool);
  expect(picked).toEqual(["stays"]);
  service.closeAll();
  expect(pick(service, "random", undefined, [], Math.random)).toBeUndefined();
});

test("an ejected instance that goes and comes back is ejected still, as long as it would have been", () => {
  let nowMs = 1;
  const service = new ServiceEndpoints(() => nowMs);
  const outlierDetection = { consecutive5xx: 2, intervalMs: 1_000, baseEjectionTimeMs: 30_000, maxEjectionPercent: 50 };
  const policy = { loadBalancer: "random", balancing: undefined, connectionPool: {} } as const;
  service.configure({ ...policy, outlierDetection });
  const fail = (instance: string): void => {
    const state = service.all.find((one) => nameOf(one) === instance);
    for (let times = 0; times < 2; times++) state?.observe?.("server-error", 1);
  };
  const flap = (version: number): void => {
    service.replace(set(version, endpoint("well")), makePool);
    nowMs += 100;
    service.replace(set(version + 1, endpoint("well"), endpoint("bad")), makePool);
  };
  service.replace(set(1, endpoint("well"), endpoint("bad")), makePool);
  fail("bad");
  flap(2);
  expect(service.ejected.map(nameOf)).toEqual(["bad"]);
  for (let round = 0; round < 20; round++) {
    expect(nameOf(service.pick({ subset: undefined, tried: [], random: Math.random }))).toBe("well");
  }
  // For as long as before, and the next time for longer.
  nowMs = 30_002;
  expect(service.ejected).toEqual([]);
  fail("bad");
  flap(4);
  nowMs += 31_000;
  expect(service.ejected.map(nameOf)).toEqual(["bad"]);
  // Whose time is over, or whom policy does not watch any more, comes as if for the first time.
  flap(6);
  nowMs += 60_000;
  flap(8);
  expect(service.ejected).toEqual([]);
  fail("bad");
  service.replace(set(10, endpoint("well")), makePool);
  service.configure({ ...policy, outlierDetection: undefined });
  service.configure({ ...policy, outlierDetection });
  service.replace(set(11, endpoint("well"), endpoint("bad")), makePool);
  expect(service.ejected).toEqual([]);
});
