/**
 * Two versions of the control plane on one ledger, as in a rolling upgrade: the newer folds the ledger otherwise, so that it
 * cannot take up what the older has kept, while the older decides, publishes and is then taken away.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { encodeChange, sha256Hex } from "../../src/events/chain.ts";
import { FIRST_PREVIOUS } from "../../src/events/change.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { openBucket } from "../../src/nats/buckets.ts";
import { CHECKPOINT_BUCKET, EVENT_STREAM, subjects } from "../../src/nats/subjects.ts";
import { checkpointKey } from "../../src/projections/checkpoint.ts";
import { historyKey } from "../../src/projections/history-checkpoints.ts";
import { meshProjection } from "../../src/projections/projection.ts";
import { changeOf } from "../support/ledger.ts";
import { eventually } from "../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../support/node-app.ts";
import { startTestSidecar, type TestSidecar } from "../support/sidecars.ts";
import { startTraffic } from "../support/traffic.ts";
import { applying, type ControlMesh, send, service, startMesh, type TestReplica } from "./mesh.ts";

/** So many that there are checkpoints, which the newer version has to leave alone. */
const CHANGES = 1_100;
const NEWER = { ...meshProjection, version: meshProjection.version + 1 };

let mesh: ControlMesh;
let application: NodeApp;
const sidecars: TestSidecar[] = [];

beforeAll(async () => {
  [mesh, application] = await Promise.all([startMesh(), startNodeApp()]);
});
afterAll(async () => {
  for (const sidecar of sidecars) await sidecar.stop();
  await mesh.stop();
  await application.kill();
});

const policy = (round: number): string => `${service("web")}---
${service("catalog")}---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules: [{ allow: { from: [shop/web], paths: ["/*", "/round-${round}"] } }]
`;

/** Decides, and waits until the sidecar of the service that it is about enforces it. */
async function apply(round: number): Promise<number> {
  const reply = await send(mesh.ada, applying(policy(round)));
  if (reply.kind !== "decided" || reply.revision === undefined) throw new Error(JSON.stringify(reply));
  const { revision } = reply;
  await eventually(async () => {
    expect(await enforced(sidecars[1]?.admin ?? "")).toBeGreaterThanOrEqual(revision);
  }, 30_000);
  return revision;
}

async function enforced(admin: string): Promise<number> {
  const { status } = (await (await fetch(`${admin}/config_dump`)).json()) as { status: { revision: number } };
  return status.revision;
}

/** A long history of another namespace, written faster than commands are decided. */
async function writeHistory({ bus }: TestReplica): Promise<void> {
  let previous = FIRST_PREVIOUS;
  for (let number = 1; number <= CHANGES; number++) {
    const spec = { ports: [{ port: number, protocol: "http" as const }] };
    const event: DomainEvent = { type: "ServiceDeclared", namespace: "bank", name: `s${number % 50}`, spec };
    const bytes = encodeChange(changeOf("bank", [event], { actor: "ada", revision: number, previous }));
    previous = sha256Hex(bytes);
    bus.publish(subjects.events("bank"), bytes);
  }
  await bus.flush();
}

/** Starts the newer version; until `release`, the ledger does not answer it. */
async function startHeld() {
  const { bus } = await mesh.nats.connectControl();
  const released = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const request = bus.requestMessage.bind(bus);
  bus.requestMessage = async (subject, data, options) => {
    // Whoever reads the ledger asks first how long it is.
    if (subject === `$JS.API.STREAM.INFO.${EVENT_STREAM}`) {
      asked.resolve();
      await released.promise;
    }
    return request(subject, data, options);
  };
  const replica = mesh.startReplica({ bus, fold: NEWER });
  await asked.promise;
  return { replica, release: () => released.resolve() };
}

test("while a newer version folds the ledger anew, the older one decides and no call is lost; then either serves", async () => {
  const older = await mesh.startReplica();
  await writeHistory(older);
  await eventually(() => expect(older.revision).toBeGreaterThan(CHANGES), 30_000);
  expect((await send(mesh.ada, applying(policy(0)))).kind).toBe("decided");
  for (const [number, name] of ["web", "catalog"].entries()) {
    const spec = { service: `shop/${name}`, appPort: application.port };
    sidecars.push(await startTestSidecar(mesh.nats, spec, number));
  }
  const [web] = sidecars;
  const call = () => fetch(`${web?.outbound}/items`, { headers: { host: "catalog.shop" } });
  await eventually(async () => expect((await call()).status).toBe(200), 30_000);
  const traffic = startTraffic(call, 2);
  const bucket = await openBucket(older.bus, CHECKPOINT_BUCKET);
  const kept = [checkpointKey(meshProjection), historyKey(meshProjection, 1_000)];
  await eventually(async () => {
    for (const key of kept) expect(await bucket.get(key)).toBeDefined();
  }, 30_000);

  const { replica, release } = await startHeld();
  await apply(1);
  const before = await apply(2);
  expect(older.revision).toBeGreaterThanOrEqual(before);
  release();
  const newer = await replica;
  expect(newer.revision).toBeGreaterThanOrEqual(before);
  // Commands go to the one or the other, and both follow.
  for (let round = 3; round < 9; round++) {
    const revision = await apply(round);
    await eventually(() => expect(Math.min(older.revision, newer.revision)).toBeGreaterThanOrEqual(revision), 30_000);
  }
  for (const key of kept) expect(await bucket.get(key)).toBeDefined();
  await eventually(async () => expect(await bucket.get(historyKey(NEWER, 1_000))).toBeDefined(), 30_000);

  await older.stop();
  const after = await apply(9);
  expect(after).toBe(before + 7);
  const served = traffic.answered;
  await eventually(() => expect(traffic.answered).toBeGreaterThan(served), 30_000);
  expect(await traffic.stop()).toEqual([]);
  expect(newer.lines.filter(({ level }) => level === "error")).toEqual([]);
}, 120_000);
