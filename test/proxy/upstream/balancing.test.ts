/** How requests spread: weights, slow start, latency, consistent hashing, and distance. */

import { describe, expect, test } from "bun:test";
import type { Endpoint } from "../../../src/projections/snapshot.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { ServiceEndpoints, type UpstreamPolicy } from "../../../src/proxy/upstream/endpoints.ts";
import { buildMaglev, buildRing, type Hashable, hashText } from "../../../src/proxy/upstream/hash-table.ts";
import { PeakLatency } from "../../../src/proxy/upstream/latency.ts";
import { chooseAmong } from "../../../src/proxy/upstream/locality.ts";
import type { EndpointState } from "../../../src/proxy/upstream/member.ts";
import { Pool } from "../../../src/proxy/upstream/pool.ts";
import { seededRandom } from "../../support/random.ts";

const runtime = systemRuntime();
const makePool = ({ host, port }: Endpoint): Pool => new Pool({ address: { host, port }, runtime, protocol: "h2" });
let nowMs = 1_000;

function endpoint(instance: string, labels: Record<string, string> = {}): Endpoint {
  return { instance, host: instance, port: 1, labels };
}

const place = (region: string, zone: string): Record<string, string> => ({
  "topology.kubernetes.io/region": region,
  "topology.kubernetes.io/zone": zone,
});

const POLICY: UpstreamPolicy = {
  loadBalancer: "random",
  balancing: undefined,
  connectionPool: {},
  outlierDetection: undefined,
};

function serviceOf(endpoints: readonly Endpoint[], policy: Partial<UpstreamPolicy>, own = {}): ServiceEndpoints {
  const service = new ServiceEndpoints(() => nowMs, own);
  service.configure({ ...POLICY, ...policy });
  service.replace({ namespace: "shop", name: "catalog", version: 1, endpoints: [...endpoints] }, makePool);
  return service;
}

function shares(service: ServiceEndpoints, picks: number, hash?: (pick: number) => number): Record<string, number> {
  const random = seededRandom(7);
  const counts: Record<string, number> = {};
  for (let pick = 0; pick < picks; pick++) {
    const state = service.pick({ subset: undefined, tried: [], random, hash: hash?.(pick) });
    const name = state?.endpoint.instance ?? "none";
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

const unreachable = (state: EndpointState | undefined): void => state?.observe?.("unreachable", 1);

describe("weights", () => {
  const heavy = [endpoint("light"), endpoint("heavy", { "heddle.io/weight": "3" })];

  test.each(["random", "round-robin", "least-request", "peak-ewma"] as const)(
    "%s gives each its share",
    (algorithm) => {
      const { light = 0, heavy: more = 0 } = shares(serviceOf(heavy, { loadBalancer: algorithm }), 4_000);
      expect(light + more).toBe(4_000);
      expect(more / light).toBeGreaterThan(2.6);
      expect(more / light).toBeLessThan(3.4);
    },
  );

  test("one that is none counts as 1", () => {
    const odd = ["x", "-1", "0", "NaN"].map((weight, at) => endpoint(`e${at}`, { "heddle.io/weight": weight }));
    expect(Object.values(shares(serviceOf(odd, { loadBalancer: "round-robin" }), 400))).toEqual([100, 100, 100, 100]);
  });
});

test("in slow start a new instance gets its share little by little; those that were first have it at once", () => {
  nowMs = 1_000;
  const policy = { loadBalancer: "round-robin", balancing: { slowStartMs: 10_000 } } as const;
  const service = serviceOf([endpoint("old")], policy);
  const endpoints = [endpoint("old"), endpoint("new")];
  service.replace({ namespace: "shop", name: "catalog", version: 2, endpoints }, makePool);
  const shareOfNew = (): number => (shares(service, 1_100).new ?? 0) / 1_100;
  expect(shareOfNew()).toBeCloseTo(1 / 11, 1);
  nowMs = 6_000;
  expect(shareOfNew()).toBeCloseTo(1 / 3, 1);
  nowMs = 11_000;
  expect(shareOfNew()).toBeCloseTo(1 / 2, 1);
});

describe("peak EWMA", () => {
  test("follows a rise at once and a fall slowly, and fades while nothing is heard", () => {
    const latency = new PeakLatency();
    latency.sample(10, false, 1_000);
    latency.sample(500, false, 2_000);
    expect(latency.at(2_000)).toBe(500);
    latency.sample(10, false, 3_000);
    expect(latency.at(3_000)).toBeGreaterThan(400);
    expect(latency.at(60_000)).toBe(5);
  });

  test("a failure that comes quickly does not make an endpoint look quicker", () => {
    const latency = new PeakLatency();
    latency.sample(80, false, 1_000);
    for (let n = 0; n < 50; n++) latency.sample(0.1, true, 1_000);
    expect(latency.at(1_000)).toBe(80);
  });

  test("takes endpoints that are nearly alike for alike", () => {
    const service = serviceOf([endpoint("one"), endpoint("other")], { loadBalancer: "peak-ewma" });
    const [one, other] = service.all;
    one?.observe?.("success", 12);
    other?.observe?.("success", 20);
    const { one: first = 0, other: second = 0 } = shares(service, 1_000);
    expect(Math.abs(first - second)).toBeLessThan(150);
  });

  test("gives a slow instance little, where round robin would give it half", () => {
    const service = serviceOf([endpoint("quick"), endpoint("slow")], { loadBalancer: "peak-ewma" });
    const [quick, slow] = service.all;
    for (let n = 0; n < 10; n++) {
      quick?.observe?.("success", 5);
      slow?.observe?.("success", 100);
    }
    expect(shares(service, 1_000)).toEqual({ quick: 1_000 });
    // It is not written off: the busier the quick one gets, the sooner the slow one is worth it.
    if (quick !== undefined) quick.active = 40;
    expect(shares(service, 1_000).slow).toBeGreaterThan(900);
  });
});

describe.each([
  ["ring hash", buildRing],
  ["Maglev", buildMaglev],
] as const)("%s", (_, build) => {
  const names = (count: number): Hashable[] =>
    Array.from({ length: count }, (_, at) => ({ key: `10.0.0.${at}:1`, weight: 1 }));
  const keys = Array.from({ length: 10_000 }, (_, at) => hashText(`user-${at}`));
  const none = (): boolean => false;

  test("spreads keys evenly, and the same in every sidecar", () => {
    const [one, same] = [build(names(10)), build(names(10))];
    const counts = new Array<number>(10).fill(0);
    for (const key of keys) {
      const at = one(key, none) ?? -1;
      expect(same(key, none)).toBe(at);
      counts[at] = (counts[at] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(700);
    expect(Math.max(...counts)).toBeLessThan(1_300);
  });

  test("moves few keys when one of ten goes", () => {
    const [before, after] = [build(names(10)), build(names(9))];
    const stayed = keys.filter((key) => (before(key, none) ?? 9) < 9);
    const moved = stayed.filter((key) => before(key, none) !== after(key, none));
    expect(moved.length / stayed.length).toBeLessThan(0.05);
  });

  test("gives the keys of one that cannot be taken to all the others", () => {
    const lookUp = build(names(5));
    const lost = keys.filter((key) => lookUp(key, none) === 2);
    const heirs = new Set(lost.map((key) => lookUp(key, (index) => index === 2)));
    expect([...heirs].sort()).toEqual([0, 1, 3, 4]);
    expect(lookUp(7, () => true)).toBeUndefined();
  });

  test("follows weights", () => {
    const lookUp = build([
      { key: "a:1", weight: 1 },
      { key: "b:1", weight: 3 },
    ]);
    const heavy = keys.filter((key) => lookUp(key, none) === 1).length / keys.length;
    expect(heavy).toBeGreaterThan(0.65);
    expect(heavy).toBeLessThan(0.85);
  });
});

test("the same key goes to the same endpoint, and to another one while that is away", () => {
  nowMs = 1_000;
  const service = serviceOf(
    ["a", "b", "c"].map((name) => endpoint(name)),
    { loadBalancer: "maglev" },
  );
  const hash = hashText("user-1");
  const owner = service.pick({ subset: undefined, tried: [], hash, random: Math.random });
  expect(shares(service, 50, () => hash)).toEqual({ [owner?.endpoint.instance ?? ""]: 50 });
  unreachable(owner);
  const [heir = ""] = Object.keys(shares(service, 50, () => hash));
  expect(heir).not.toBe(owner?.endpoint.instance ?? "");
  nowMs += 20_000;
  expect(Object.keys(shares(service, 50, () => hash))).toEqual([owner?.endpoint.instance ?? ""]);
});

describe("distance", () => {
  const near = [endpoint("a1", place("eu", "a")), endpoint("a2", place("eu", "a"))];
  const next = [endpoint("b1", place("eu", "b")), endpoint("b2", place("eu", "b"))];
  const far = [endpoint("us", place("us", "a"))];
  const all = [...far, ...next, ...near];

  test("the own zone first, then the region, then everywhere", () => {
    nowMs = 1_000;
    const service = serviceOf(all, {}, place("eu", "a"));
    expect(Object.keys(shares(service, 100)).sort()).toEqual(["a1", "a2"]);
    const byName = (name: string) => service.all.find((state) => state.endpoint.instance === name);
    // With half of its zone away, seven tenths of the calls still fit there.
    unreachable(byName("a1"));
    const half = shares(service, 1_000);
    expect(half.a1).toBeUndefined();
    expect(half.a2).toBeGreaterThan(650);
    expect(half.a2).toBeLessThan(750);
    expect((half.b1 ?? 0) + (half.b2 ?? 0) + (half.a2 ?? 0)).toBe(1_000);
    unreachable(byName("a2"));
    expect(Object.keys(shares(service, 100)).sort()).toEqual(["b1", "b2"]);
    for (const name of ["b1", "b2"]) unreachable(byName(name));
    expect(Object.keys(shares(service, 100))).toEqual(["us"]);
    unreachable(byName("us"));
    expect(Object.keys(shares(service, 100)).sort()).toEqual(["a1", "a2"]);
  });

  test("an attempt that failed near by is made further away", () => {
    nowMs = 1_000;
    const service = serviceOf(all, {}, place("eu", "a"));
    const tried = service.all.filter((state) => state.endpoint.instance.startsWith("a"));
    const state = service.pick({ subset: undefined, tried, random: Math.random });
    expect(state?.endpoint.instance.startsWith("a")).toBe(false);
  });

  test("does not matter where policy or the caller's place says nothing of it", () => {
    expect(Object.keys(shares(serviceOf(all, {}), 200))).toHaveLength(5);
    const ignored = serviceOf(all, { balancing: { locality: "ignore" } }, place("eu", "a"));
    expect(Object.keys(shares(ignored, 200))).toHaveLength(5);
  });

  test("with too few well, all of a level are used", () => {
    const level = [1, 2, 3, 4];
    const isWell = (member: number): boolean => member === 1;
    expect(chooseAmong([level], isWell, 0, Math.random)).toEqual([1]);
    expect(chooseAmong([level], isWell, 25, Math.random)).toEqual([1]);
    expect(chooseAmong([level], isWell, 26, Math.random)).toEqual(level);
  });
});
