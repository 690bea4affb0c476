/** How a snapshot gets to the workers of a sidecar. */

import { expect, test } from "bun:test";
import type { EndpointSet, ServiceSnapshot } from "../../../src/projections/snapshot.ts";
import type { DataPlane } from "../../../src/proxy/sidecar/data-plane.ts";
import { type WorkerNews, type WorkerOrder, workerOrder } from "../../../src/proxy/sidecar/workers/messages.ts";
import { SnapshotAssembly, snapshotOrders } from "../../../src/proxy/sidecar/workers/snapshot-orders.ts";
import { Worker } from "../../../src/proxy/sidecar/workers/worker.ts";
import { eventually } from "../../support/mesh.ts";
import { routeRule, snapshot, upstream } from "../fixture.ts";

function large(upstreams: number, revision: number): ServiceSnapshot {
  const rules = Array.from({ length: 10 }, (_, at) => routeRule({}, at));
  const all = Array.from({ length: upstreams }, (_, at) => upstream("shop", `s-${at}`, { routes: rules }));
  return snapshot({ revision, upstreams: Object.fromEntries(all.map((one) => [`shop/${one.name}`, one])) });
}

/** As the channel between the two hands it over. */
function sent(order: WorkerOrder): WorkerOrder {
  return workerOrder.parse(JSON.parse(JSON.stringify(order)));
}

/** What an assembly makes of orders; those in between are given to it as they are. */
function assembled(assembly: SnapshotAssembly, orders: readonly WorkerOrder[]): ServiceSnapshot | undefined {
  let whole: ServiceSnapshot | undefined;
  for (const order of orders.map(sent)) {
    if (order.kind === "upstreams") assembly.add(order.upstreams);
    else if (order.kind === "snapshot") whole = assembly.complete(order);
  }
  return whole;
}

test("the first is told whole in pieces, and the next only as far as it says something new", () => {
  const assembly = new SnapshotAssembly();
  const first = large(1_000, 1);
  const orders = snapshotOrders(first);
  expect(orders.length).toBeGreaterThan(30);
  const before = assembled(assembly, orders);
  expect(before).toEqual(first);

  const changed = upstream("shop", "s-7", { routes: [routeRule({ timeoutMs: 7 })] });
  const { "shop/s-3": gone, ...rest } = first.upstreams;
  const second = { ...first, revision: 2, upstreams: { ...rest, "shop/s-7": changed } };
  const next = snapshotOrders(second, first.upstreams);
  expect(next[0]).toEqual({ kind: "upstreams", upstreams: { "shop/s-7": changed } });
  expect(next).toHaveLength(2);
  const after = assembled(assembly, next);
  expect(after).toEqual(second);
  // The very objects of before, by which the worker knows that they need not be compiled again.
  expect(after?.upstreams["shop/s-8"]).toBe(before?.upstreams["shop/s-8"] ?? changed);

  expect(snapshotOrders({ ...second, revision: 3 }, second.upstreams)).toHaveLength(1);
});

test("an upstream of which nothing was told is never enforced, nor one that is gone since", () => {
  const assembly = new SnapshotAssembly();
  const [, complete] = snapshotOrders(large(1, 1));
  expect(() => assembled(assembly, complete === undefined ? [] : [complete])).toThrow("told to enforce shop/s-0");
  assembled(assembly, [...snapshotOrders(large(1, 1)), ...snapshotOrders(large(0, 2))]);
  expect(() => assembled(assembly, complete === undefined ? [] : [complete])).toThrow("told to enforce shop/s-0");
});

test("a worker turns to others after each piece, and obeys in the order of what it was told", async () => {
  const done: string[] = [];
  let turns = 0;
  const plane = {
    revision: 1,
    enforce: ({ upstreams }: ServiceSnapshot) => void done.push(`enforce ${Object.keys(upstreams).length}`),
    replaceEndpoints: ({ name }: EndpointSet) => done.push(`endpoints of ${name}`) > 0,
  } as unknown as DataPlane;
  const news: WorkerNews[] = [];
  const worker = new Worker({ send: (one) => void news.push(one), dataPlane: () => plane, onEnd: () => {} });
  const nowhere = { host: "127.0.0.1", port: 0 };
  worker.receive({
    kind: "start",
    trustDomain: "mesh.local",
    addresses: { inbound: nowhere, outbound: nowhere, upstreams: [] },
  });
  const pieces = snapshotOrders(large(1_000, 1));
  for (const order of pieces) worker.receive(order);
  worker.receive({ kind: "endpoints", set: { namespace: "shop", name: "s-0", version: 1, endpoints: [] } });
  const turn = (): void => {
    turns++;
    if (done.length === 0) setImmediate(turn);
  };
  turn();
  expect(done).toEqual([]);
  await eventually(() => expect(done).toEqual(["enforce 1000", "endpoints of s-0"]));
  expect(turns).toBeGreaterThanOrEqual(pieces.length - 1);
  expect(news.at(-1)).toEqual({ kind: "enforcing", revision: 1 });
});
