/** The two publishers and the runner on a real server: what the broker in memory cannot vouch for. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { openEventLog } from "../../src/events/jetstream-log.ts";
import type { MeshState } from "../../src/events/state.ts";
import { openBucket } from "../../src/nats/buckets.ts";
import { CHECKPOINT_BUCKET, CONFIG_BUCKET, ENDPOINT_BUCKET, subjects } from "../../src/nats/subjects.ts";
import { compileSnapshot } from "../../src/projections/compile-snapshot.ts";
import { EndpointPublisher } from "../../src/projections/endpoint-publisher.ts";
import { meshProjection } from "../../src/projections/projection.ts";
import { type RunningProjection, runProjection } from "../../src/projections/runner.ts";
import { endpointSet, type InstanceStatus, serviceSnapshot } from "../../src/projections/snapshot.ts";
import { SnapshotPublisher } from "../../src/projections/snapshot-store.ts";
import { meshStateCodec } from "../../src/projections/state-codec.ts";
import { TestLedger } from "../support/ledger.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

interface Replica {
  readonly projection: RunningProjection<MeshState>;
  readonly publisher: SnapshotPublisher;
}

let nats: TestNats;
const ending: (() => Promise<void>)[] = [];
beforeEach(async () => {
  nats = await startTestNats();
});
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
  await nats.stop();
});

async function startReplica(): Promise<Replica> {
  const { bus } = await nats.connectControl();
  const warn = (): void => {};
  const publisher = new SnapshotPublisher({ bus, bucket: await openBucket(bus, CONFIG_BUCKET), warn });
  const projection = await runProjection({
    log: await openEventLog(bus),
    projection: meshProjection,
    checkpoints: { bucket: await openBucket(bus, CHECKPOINT_BUCKET), codec: meshStateCodec, every: 2 },
    onChange: (before, after, change) => publisher.changed(before, after, change),
    warn,
  });
  ending.push(() => publisher.stop());
  ending.push(() => projection.stop());
  await publisher.start(projection.state);
  return { projection, publisher };
}

/** Appends what the ledger has and the log has not. */
async function append(ledger: TestLedger, from: number): Promise<void> {
  const log = await openEventLog((await nats.connectControl()).bus);
  for (const { change, revision } of ledger.changes.slice(from)) {
    const appended = await log.append(change, revision - 1);
    expect(appended.ok).toBe(true);
  }
}

function service(ledger: TestLedger, name: string): void {
  const spec = { ports: [{ port: 80, protocol: "http" as const }] };
  ledger.record("shop", [{ type: "ServiceDeclared", namespace: "shop", name, spec }]);
}

test("two replicas publish the mesh, and go on when the server has crashed and is back", async () => {
  const ledger = new TestLedger();
  service(ledger, "web");
  await append(ledger, 0);
  const replicas = [await startReplica(), await startReplica()];
  const { bus } = await nats.connectControl();
  const pushed = Promise.withResolvers<Uint8Array>();
  bus.subscribe(subjects.config("shop", "orders"), ({ data }) => pushed.resolve(data));
  await bus.flush();

  service(ledger, "orders");
  await append(ledger, 1);
  const bucket = await openBucket(bus, CONFIG_BUCKET);
  const push = await pushed.promise;
  expect((await bucket.get("shop.orders"))?.value).toEqual(push);
  expect(serviceSnapshot.parse(JSON.parse(new TextDecoder().decode(push))).revision).toBe(2);

  await nats.kill9();
  await nats.restart();
  service(ledger, "catalog");
  await append(ledger, 2);
  for (const { projection, publisher } of replicas) {
    await projection.caughtUp(3);
    await publisher.settled();
    expect(projection.state).toEqual(ledger.state);
    expect(publisher.expectedRevision("shop/catalog")).toBe(3);
  }
  const again = await openBucket((await nats.connectControl()).bus, CONFIG_BUCKET);
  const stored = await again.get("shop.web");
  expect(serviceSnapshot.parse(JSON.parse(new TextDecoder().decode(stored?.value)))).toEqual(
    serviceSnapshot.parse(compileSnapshot(ledger.state, { namespace: "shop", name: "web" })),
  );
  const late = await startReplica();
  expect(late.projection.state).toEqual(ledger.state);
}, 20_000);

test("a sidecar's heartbeat becomes an endpoint that all can read", async () => {
  const { bus } = await nats.connectControl();
  const bucket = await openBucket(bus, ENDPOINT_BUCKET);
  const publisher = new EndpointPublisher({ bus, bucket, now: Date.now, warn: () => {} });
  ending.push(() => publisher.stop());
  await publisher.start();
  const pushed = Promise.withResolvers<Uint8Array>();
  bus.subscribe(subjects.endpoints("shop", "web"), ({ data }) => pushed.resolve(data));
  await bus.flush();

  const sidecar = await nats.connect(await nats.mintService("shop", "web"));
  const status: InstanceStatus = {
    instance: "web-1",
    namespace: "shop",
    service: "web",
    state: "ready",
    host: "127.0.0.1",
    port: 15006,
    labels: {},
    revision: 0,
    startedAt: "2026-01-01T00:00:00Z",
    version: "0.1.0",
  };
  sidecar.bus.publish(subjects.status("shop", "web", "web-1"), new TextEncoder().encode(JSON.stringify(status)));
  const push = await pushed.promise;
  expect((await bucket.get("shop.web"))?.value).toEqual(push);
  const set = endpointSet.parse(JSON.parse(new TextDecoder().decode(push)));
  expect(set.endpoints).toEqual([{ instance: "web-1", host: "127.0.0.1", port: 15006, labels: {} }]);
}, 20_000);
