/** What keeps a replica from growing without end, and from doing things twice or out of order. */

import { describe, expect, test } from "bun:test";
import { KeyedQueue } from "../../src/control/keyed-queue.ts";
import { RecentCommands } from "../../src/control/recent-commands.ts";
import { instanceKey, Roster } from "../../src/control/roster.ts";
import type { InstanceStatus } from "../../src/projections/snapshot.ts";

describe("a keyed queue", () => {
  test("works one key's pieces in order, and different keys side by side", async () => {
    const queue = new KeyedQueue(10);
    const done: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = queue.run("a", () => gate.promise.then(() => done.push("a1")));
    const second = queue.run("a", async () => done.push("a2"));
    await queue.run("b", async () => done.push("b1"));
    expect(done).toEqual(["b1"]);
    gate.resolve();
    await Promise.all([first, second]);
    expect(done).toEqual(["b1", "a1", "a2"]);
  });

  test("goes on after a failure, which only its asker is told of", async () => {
    const queue = new KeyedQueue(10);
    const failing = queue.run("a", () => Promise.reject(new Error("no")));
    const after = queue.run("a", async () => "done");
    await expect(failing ?? Promise.resolve()).rejects.toThrow("no");
    expect(await after).toBe("done");
    await queue.idle();
  });

  test("takes no more than it holds, and again when there is room", async () => {
    const queue = new KeyedQueue(2);
    const gate = Promise.withResolvers<void>();
    void queue.run("a", () => gate.promise);
    void queue.run("b", () => gate.promise);
    expect(queue.run("c", async () => {})).toBeUndefined();
    gate.resolve();
    await queue.idle();
    expect(queue.run("c", async () => {})).toBeInstanceOf(Promise);
  });
});

describe("recent commands", () => {
  test("knows a command for as long as it was told to, by actor", () => {
    const recent = new RecentCommands(1_000);
    expect(recent.add("ada", "1", 0)).toBe(true);
    expect(recent.add("ada", "1", 1_000)).toBe(false);
    expect(recent.add("eve", "1", 1_000)).toBe(true);
    expect(recent.add("ada", "1", 1_001)).toBe(true);
  });

  test("forgets the oldest of too many", () => {
    const recent = new RecentCommands(1_000_000);
    for (let id = 0; id < 60_000; id++) expect(recent.add("ada", String(id), 0)).toBe(true);
    expect(recent.add("ada", "59999", 0)).toBe(false);
    expect(recent.add("ada", "0", 0)).toBe(true);
  });
});

describe("the roster", () => {
  const status: InstanceStatus = {
    instance: "one",
    namespace: "shop",
    service: "orders",
    state: "ready",
    host: "127.0.0.1",
    port: 1,
    labels: {},
    revision: 1,
    startedAt: "2026-01-01T00:00:00Z",
    version: "test",
  };
  const key = instanceKey("shop/orders", "one");

  test("tells news from repetition, and keeps since when a revision is in force", () => {
    const roster = new Roster(100);
    expect(roster.hear(status, 10)).toBe("revision");
    expect(roster.hear(status, 20)).toBe("nothing");
    expect(roster.get(key)).toMatchObject({ heardMs: 20, revisionMs: 10 });
    expect(roster.hear({ ...status, revision: 2 }, 30)).toBe("revision");
    expect(roster.get(key)).toMatchObject({ heardMs: 30, revisionMs: 30 });
    // The same revision after a restart was taken up anew.
    expect(roster.hear({ ...status, revision: 2, startedAt: "2026-01-02T00:00:00Z" }, 40)).toBe("revision");
    expect(roster.hear({ ...status, state: "gone" }, 50)).toBe("gone");
    expect(roster.hear({ ...status, state: "gone" }, 60)).toBe("nothing");
    expect(roster.get(key)).toBeUndefined();
  });

  test("calls silence disconnection, unless we could not hear, and forgets in the end", () => {
    const roster = new Roster(100);
    roster.hear(status, 0);
    expect([roster.connected(100), roster.connected(101)]).toEqual([1, 0]);
    roster.touchAll(101);
    expect(roster.connected(201)).toBe(1);
    roster.forget(600_101);
    expect(roster.get(key)).toBeDefined();
    roster.forget(600_102);
    expect(roster.get(key)).toBeUndefined();
  });

  test("invented names push out those of their own service only, the longest silent first", () => {
    const roster = new Roster(100, 3);
    roster.hear({ ...status, service: "payment" }, 0);
    for (const [at, instance] of ["a", "b", "c", "a", "d"].entries()) roster.hear({ ...status, instance }, at + 1);
    const left = [...roster.entries()].map(({ service, status: { instance } }) => `${service}/${instance}`);
    expect(left).toEqual(["shop/payment/one", "shop/orders/c", "shop/orders/a", "shop/orders/d"]);
    roster.hear({ ...status, instance: "c", state: "gone" }, 7);
    roster.hear({ ...status, instance: "e" }, 8);
    expect(roster.get(instanceKey("shop/orders", "a"))).toBeDefined();
  });

  test("keeps no more instances than it may: who has been silent the longest goes", () => {
    const roster = new Roster(100, 30_000);
    for (let index = 0; index < 20_001; index++) roster.hear({ ...status, instance: `i${index}` }, index / 1_000);
    roster.hear({ ...status, instance: "i0" }, 21);
    roster.forget(21);
    expect([...roster.entries()]).toHaveLength(20_000);
    expect(roster.get(instanceKey("shop/orders", "i0"))).toBeDefined();
    expect(roster.get(instanceKey("shop/orders", "i1"))).toBeUndefined();
  });
});
