/** Hundreds of snapshots, one after the other, under constant requests: none fails, and nothing is left behind. */

import { heapStats } from "bun:jsc";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ClientHttp2Session, connect } from "node:http2";
import { subjects } from "../../../src/nats/subjects.ts";
import type { ServiceSnapshot } from "../../../src/projections/snapshot.ts";
import { eventually, type TestSidecar } from "../../support/mesh.ts";
import { startTraffic } from "../../support/traffic.ts";
import { TwoHops } from "../../support/two-hops.ts";

const SWAPS = 300;
/** By then everything that is made once has been made. */
const WARM_UP = 100;
/** One that each of the two sidecars leaves behind at a swap makes twice as many. */
const GROWTH_MAX = SWAPS;
/** A listener that stays on an emitter is a function that stays. */
const TYPES = ["Timeout", "Immediate", "Listener", "TCPSocket", "TLSSocket", "AbortSignal", "Function", "Map", "Set"];
/** A snapshot with its compiled rules has about a hundred objects: far less than all of them. */
const OBJECTS_MAX = SWAPS * 20;

let hops: TwoHops;
let session: ClientHttp2Session;
beforeAll(async () => {
  hops = await TwoHops.start();
  session = connect(hops.web.outbound);
});
afterAll(async () => {
  session.destroy();
  await hops.stop();
});

async function snapshotOf({ admin }: TestSidecar): Promise<ServiceSnapshot> {
  const { snapshot } = (await (await fetch(`${admin}/config_dump`)).json()) as { snapshot: ServiceSnapshot };
  return snapshot;
}

/** A call of HTTP/2 on the one connection; what is not answered is an error. */
function callHttp2(): Promise<Response> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": "/", ":authority": "catalog" });
    let status = 0;
    stream.on("response", (head) => {
      status = head[":status"] ?? 0;
    });
    stream.on("error", reject).on("close", () => resolve(new Response("", { status: status || 599 })));
    stream.resume();
  });
}

/** Pushes `count` snapshots to both sidecars, each with other rules than the one before; resolves when all are in force. */
async function swap(count: number): Promise<void> {
  const sidecars = [hops.web, hops.catalog];
  const given = await Promise.all(sidecars.map(snapshotOf));
  for (let done = 1; done <= count; done++) {
    for (const snapshot of given) {
      const next = altered(snapshot, snapshot.revision + done);
      const data = new TextEncoder().encode(JSON.stringify(next));
      hops.mesh.control.publish(subjects.config(snapshot.namespace, snapshot.name), data);
    }
    await eventually(async () => {
      const now = await Promise.all(sidecars.map(snapshotOf));
      expect(now.map(({ revision }) => revision)).toEqual(given.map(({ revision }) => revision + done));
    });
  }
}

/** The same for callers, with another timeout on their way, and one more rule that none of them meets every other time. */
function altered(snapshot: ServiceSnapshot, revision: number): ServiceSnapshot {
  const origin = { document: "catalog", rule: 0, revision, actor: "ada" };
  const upstreams = Object.entries(snapshot.upstreams).map(([ref, upstream]) => {
    const routes = upstream.routes.map((rule) => ({ ...rule, timeoutMs: 20_000 + (revision % 100), origin }));
    return [ref, { ...upstream, routes: revision % 2 === 0 ? routes : [...routes, ...routes] }] as const;
  });
  return { ...snapshot, revision, upstreams: Object.fromEntries(upstreams) };
}

interface Held {
  readonly objects: number;
  readonly ofType: Readonly<Record<string, number>>;
}

/** What this process holds: both sidecars, their listeners, timers and sockets, and the callers. */
function held(): Held {
  Bun.gc(true);
  const { objectCount, objectTypeCounts } = heapStats();
  return { objects: objectCount, ofType: objectTypeCounts };
}

test("no request fails over hundreds of swaps, and neither objects, timers nor sockets pile up", async () => {
  const route = "apiVersion: heddle/v1\nkind: Route\nmetadata: { namespace: shop, name: catalog }\n";
  const revision = await hops.mesh.apply(`${route}spec: { service: catalog, rules: [{ timeout: 20s }] }\n`);
  await eventually(async () => expect((await snapshotOf(hops.web)).revision).toBe(revision));
  const http1 = startTraffic(() => hops.call("/"), 2);
  const http2 = startTraffic(callHttp2, 2);
  await swap(WARM_UP);
  const before = held();
  await swap(SWAPS);
  const answered = [http1.answered, http2.answered];
  const after = held();
  expect([...(await http1.stop()), ...(await http2.stop())]).toEqual([]);
  for (const count of answered) expect(count).toBeGreaterThan(WARM_UP);
  for (const type of TYPES) {
    expect((after.ofType[type] ?? 0) - (before.ofType[type] ?? 0), type).toBeLessThan(GROWTH_MAX);
  }
  expect(after.objects - before.objects).toBeLessThan(OBJECTS_MAX);
}, 120_000);
