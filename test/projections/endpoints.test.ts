import { expect, test } from "bun:test";
import { INSTANCES_PER_SERVICE_MAX, InstanceRegistry } from "../../src/projections/endpoints.ts";
import type { InstanceStatus } from "../../src/projections/snapshot.ts";

function status(instance: string, rest: Partial<InstanceStatus> = {}): InstanceStatus {
  return {
    instance,
    namespace: "shop",
    service: "orders",
    state: "ready",
    host: "10.0.0.1",
    port: 15006,
    labels: { version: "v1" },
    revision: 1,
    startedAt: "2026-01-01T00:00:00Z",
    version: "0.1.0",
    ...rest,
  };
}

function names(registry: InstanceRegistry): string[] {
  return registry.endpointsOf("shop/orders").map(({ instance }) => instance);
}

test("only who is ready is an endpoint; every state is kept for those who ask", () => {
  const registry = new InstanceRegistry();
  expect(registry.observe(status("b"), 0)).toBe("changed");
  expect(registry.observe(status("a"), 0)).toBe("changed");
  expect(registry.observe(status("c", { state: "starting", port: 0 }), 0)).toBe("unchanged");
  expect(registry.observe(status("d", { port: 0 }), 0)).toBe("unchanged");
  expect(registry.endpointsOf("shop/orders")).toEqual([
    { instance: "a", host: "10.0.0.1", port: 15006, labels: { version: "v1" } },
    { instance: "b", host: "10.0.0.1", port: 15006, labels: { version: "v1" } },
  ]);
  expect(registry.statusesOf("shop/orders").map(({ instance }) => instance)).toEqual(["a", "b", "c", "d"]);
  expect(registry.endpointsOf("shop/web")).toEqual([]);
});

test("a heartbeat changes the set only if the endpoint is another one", () => {
  const registry = new InstanceRegistry();
  registry.observe(status("a", { labels: { version: "v1", zone: "z" } }), 0);
  expect(registry.observe(status("a", { labels: { zone: "z", version: "v1" }, revision: 7 }), 1)).toBe("unchanged");
  expect(registry.statusesOf("shop/orders")[0]?.revision).toBe(7);
  for (const rest of [{ host: "10.0.0.2" }, { port: 15007 }, { labels: { version: "v2" } }]) {
    expect(registry.observe(status("a", rest), 1)).toBe("changed");
  }
});

test("who drains or is gone leaves at once", () => {
  const registry = new InstanceRegistry();
  registry.observe(status("a"), 0);
  registry.observe(status("b"), 0);
  expect(registry.observe(status("a", { state: "draining" }), 1)).toBe("changed");
  expect(names(registry)).toEqual(["b"]);
  expect(registry.observe(status("b", { state: "gone" }), 1)).toBe("changed");
  expect(registry.observe(status("a", { state: "gone" }), 1)).toBe("unchanged");
  expect(registry.observe(status("x", { state: "gone" }), 1)).toBe("unchanged");
  expect([...registry.services()]).toEqual([]);
});

test("silence for longer than its life ends an instance, and no earlier", () => {
  const registry = new InstanceRegistry();
  registry.observe(status("a"), 0);
  registry.observe(status("b"), 5);
  registry.observe(status("c", { state: "draining" }), 0);
  expect(registry.expire(10, 10)).toEqual(new Set());
  expect(registry.expire(11, 10)).toEqual(new Set(["shop/orders"]));
  expect(names(registry)).toEqual(["b"]);
  expect(registry.statusesOf("shop/orders")).toHaveLength(1);
  // Nobody sends traffic to who drains, so that its end is no news.
  registry.observe(status("b", { state: "draining" }), 12);
  expect(registry.expire(100, 10)).toEqual(new Set());
  expect([...registry.services()]).toEqual([]);
});

test("after an outage of our own everybody has a full life again", () => {
  const registry = new InstanceRegistry();
  registry.observe(status("a"), 0);
  registry.touchAll(1_000);
  expect(registry.expire(1_010, 10)).toEqual(new Set());
  expect(registry.expire(1_011, 10)).toEqual(new Set(["shop/orders"]));
});

test("presumed endpoints count until they speak or their life ends", () => {
  const registry = new InstanceRegistry();
  const endpoint = { instance: "a", host: "10.0.0.1", port: 15006, labels: { version: "v1" } };
  registry.observe(status("c", { host: "10.0.0.3" }), 0);
  const stale = { ...endpoint, instance: "c" };
  registry.presume("shop/orders", [endpoint, { ...endpoint, instance: "b" }, stale], 0);
  expect(names(registry)).toEqual(["a", "b", "c"]);
  expect(registry.endpointsOf("shop/orders")[2]?.host).toBe("10.0.0.3");
  expect(registry.statusesOf("shop/orders")).toHaveLength(1);
  expect(registry.observe(status("a"), 5)).toBe("unchanged");
  expect(registry.expire(11, 10)).toEqual(new Set(["shop/orders"]));
  expect(names(registry)).toEqual(["a"]);
});

test("one workload cannot fill the memory with invented instances", () => {
  const registry = new InstanceRegistry();
  for (let index = 0; index < INSTANCES_PER_SERVICE_MAX; index++) registry.observe(status(`i${index}`), 0);
  expect(registry.observe(status("one-more"), 0)).toBe("full");
  expect(registry.observe(status("i0", { host: "10.0.0.2" }), 0)).toBe("changed");
  registry.observe(status("i1", { state: "gone" }), 0);
  expect(registry.observe(status("one-more"), 0)).toBe("changed");
});

test("whoever is new has an instance's name at once, and loses it to one who turns out to be alive and started before", () => {
  const registry = new InstanceRegistry(15_000);
  const [old, young] = [
    status("a", { host: "10.0.0.1", startedAt: "2026-01-01T00:00:00Z" }),
    status("a", { host: "10.0.0.2", startedAt: "2026-01-02T00:00:00Z" }),
  ];
  const hosts = (): string[] => registry.endpointsOf("shop/orders").map(({ host }) => host);
  expect(registry.observe(old, 0)).toBe("changed");
  expect(registry.observe(young, 1_000)).toBe("changed");
  expect(hosts()).toEqual(["10.0.0.2"]);
  expect(registry.rivalsOf("shop/orders", "a", 1_000)).toEqual([]);
  expect(registry.observe(old, 4_000)).toBe("changed");
  expect(registry.observe(young, 5_000)).toBe("rival");
  expect(hosts()).toEqual(["10.0.0.1"]);
  expect(registry.rivalsOf("shop/orders", "a", 5_000)).toEqual(["10.0.0.2:15006"]);
  // What the other one says of itself is not said of the instance.
  expect(registry.observe({ ...young, state: "gone" }, 6_000)).toBe("rival");
  expect([hosts(), registry.rivalsOf("shop/orders", "a", 6_000)]).toEqual([["10.0.0.1"], []]);
  // Silent for longer than its life, the first one has lost the name.
  registry.observe(young, 7_000);
  registry.observe(old, 8_000);
  expect(registry.observe(young, 23_001)).toBe("changed");
  expect(hosts()).toEqual(["10.0.0.2"]);
});

test("replicas name the same one of two, whichever they heard first", () => {
  const statuses = ["10.0.0.1", "10.0.0.2"].map((host, day) => status("a", { host, startedAt: `2026-01-0${day + 1}` }));
  for (const order of [statuses, statuses.toReversed()]) {
    const registry = new InstanceRegistry();
    for (let round = 0; round < 3; round++) for (const one of order) registry.observe(one, round);
    expect(registry.endpointsOf("shop/orders").map(({ host }) => host)).toEqual(["10.0.0.1"]);
  }
});

test("a restart that overlaps the end of the one before keeps the name", () => {
  const registry = new InstanceRegistry();
  registry.observe(status("a", { startedAt: "2026-01-01" }), 0);
  registry.observe(status("a", { startedAt: "2026-01-02", port: 15007 }), 1);
  for (const state of ["draining", "gone"] as const) {
    expect(registry.observe(status("a", { startedAt: "2026-01-01", state }), 2)).toBe("rival");
  }
  expect(registry.endpointsOf("shop/orders").map(({ port }) => port)).toEqual([15007]);
});
