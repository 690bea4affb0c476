/** From one root to the next while traffic flows: nobody is cut off, whoever dies on the way. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ROOT_LIFE_MS } from "../../src/ca/authority.ts";
import { FileCustody } from "../../src/ca/file-custody.ts";
import { openAuthorityIn } from "../../src/ca/open-authority.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import { fold } from "../../src/events/evolve.ts";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { subjects } from "../../src/nats/subjects.ts";
import { MESH_NAMESPACE } from "../../src/policy/names.ts";
import type { InstanceStatus } from "../../src/projections/snapshot.ts";
import { temporaryDirectory } from "../ca/temporary.ts";
import { LoadedMesh } from "../support/loaded-mesh.ts";
import { eventually } from "../support/mesh.ts";
import { startTestSidecar } from "../support/sidecars.ts";
import { applying, send, service, startMesh } from "./mesh.ts";

/** More than a heartbeat takes to come, so that a new replica has heard everybody. */
const TTL = { instanceTtlMs: 5_000 };
const PATIENCE_MS = 50_000;

let mesh: LoadedMesh;
beforeAll(async () => {
  mesh = await LoadedMesh.start(TTL);
});
afterAll(() => mesh.stop());

function rotate(action: Extract<CommandBody, { kind: "rotate-root" }>["action"], ada = mesh.control.ada) {
  return send(ada, { kind: "rotate-root", action }, { namespace: MESH_NAMESPACE });
}

function state(): Promise<MeshState> {
  return fold(INITIAL_STATE, readEventLog(mesh.control.ada.bus).read());
}

async function history(): Promise<string[]> {
  const types: string[] = [];
  for await (const { change } of readEventLog(mesh.control.ada.bus).read({ namespace: MESH_NAMESPACE })) {
    types.push(...change.data.events.map(({ type }) => type).filter((type) => type.startsWith("Root")));
  }
  return types;
}

/** Waits until the new root has come as far as that, or further. */
async function reaches(...statuses: readonly string[]): Promise<void> {
  await eventually(async () => {
    const { roots: all, rotation } = await state();
    expect([...statuses, undefined]).toContain(rotation && (all.get(rotation.to ?? "")?.status ?? "none"));
  }, PATIENCE_MS);
}

async function over(): Promise<void> {
  await eventually(async () => expect((await state()).rotation).toBeUndefined(), PATIENCE_MS);
}

/** Fingerprints by status. */
async function roots(): Promise<Record<string, string[]>> {
  const byStatus = Object.groupBy((await state()).roots.values(), ({ status }) => status);
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, own]) => [status, own.map((root) => root.fingerprint)]),
  );
}

test("under constant load nothing fails, though the replica that began it dies on the way", async () => {
  const { active: [former = ""] = [] } = await roots();
  const load = await mesh.load();
  await load.another();
  const first = await mesh.control.startReplica(TTL);
  expect((await rotate("start")).kind).toBe("decided");
  await reaches("added", "active");
  await first.stop();
  await over();
  await load.another();
  await load.stop();
  expect(load.failures).toEqual([]);
  const beginning = ["RootAdded", "RootActivated"];
  expect(await history()).toEqual([...beginning, "RootRotationStarted", "RootAdded", "RootActivated", "RootRetired"]);
  const { active = [], retired } = await roots();
  expect(retired).toEqual([former]);
  for (const { admin } of mesh.sidecars) {
    const { status } = (await (await fetch(`${admin}/config_dump`)).json()) as { status: { certificateRoot: string } };
    expect(active).toEqual([status.certificateRoot]);
  }
  // A replica that starts now signs under the new root.
  const late = await mesh.control.startReplica(TTL);
  expect(late.revision).toBeGreaterThan(0);
}, 120_000);

/** An instance that has taken up all there is, but no certificate under another root. */
const STRAGGLER: InstanceStatus = {
  instance: "straggler",
  namespace: "shop",
  service: "web",
  state: "ready",
  host: "127.0.0.1",
  port: 0,
  labels: {},
  revision: 1_000_000,
  certificateExpiry: "2099-01-01T00:00:00Z",
  startedAt: new Date().toISOString(),
  version: "test",
};

test("paused it stays where it is; called off, the new root goes and the former one stays", async () => {
  const { active: [former = ""] = [] } = await roots();
  const load = await mesh.load();
  // An instance that takes up everything but a new certificate: it holds the last step up for as long as it is there.
  const { bus } = await mesh.control.nats.connectControl();
  const straggle = (lifecycle: "ready" | "gone"): void => {
    const status = { ...STRAGGLER, state: lifecycle };
    bus.publish(subjects.status("shop", "web", "straggler"), new TextEncoder().encode(JSON.stringify(status)));
  };
  const beating = setInterval(() => straggle("ready"), 500);
  straggle("ready");
  await bus.flush();
  await rotate("start");
  await reaches("active");
  await rotate("pause");
  const paused = (await state()).rotation;
  expect(paused?.paused).toBe(true);
  await load.another();
  expect((await rotate("abort")).kind).toBe("decided");
  clearInterval(beating);
  straggle("gone");
  await over();
  const { active, retired } = await roots();
  expect(active).toEqual([former]);
  expect(retired).toContain(paused?.to ?? "");
  await load.another();
  await load.stop();
  expect(load.failures).toEqual([]);
}, 120_000);

test("called off before the new root signs, it ends as well, though no sidecar hears anything new of it", async () => {
  const { active: [former = ""] = [] } = await roots();
  const load = await mesh.load();
  const { bus } = await mesh.control.nats.connectControl();
  // One that takes up nothing holds the new root up before it signs.
  const straggler = (lifecycle: "ready" | "gone"): void => {
    const status = { ...STRAGGLER, revision: 1, state: lifecycle };
    bus.publish(subjects.status("shop", "web", "straggler"), new TextEncoder().encode(JSON.stringify(status)));
  };
  const beating = setInterval(() => straggler("ready"), 500);
  straggler("ready");
  await bus.flush();
  await rotate("start");
  await reaches("added");
  await rotate("pause");
  await rotate("resume");
  expect((await rotate("abort")).kind).toBe("decided");
  clearInterval(beating);
  straggler("gone");
  await over();
  expect((await roots()).active).toEqual([former]);
  await load.another();
  await load.stop();
  expect(load.failures).toEqual([]);
}, 120_000);

test("a second rotation, and steps of none, are refused", async () => {
  const refusal = await rotate("pause");
  expect(refusal.kind === "refused" && refusal.problems[0]?.message).toContain("no change of roots is under way");
  await rotate("start");
  const again = await rotate("start");
  expect(again.kind === "decided" && [again.events.length, again.warnings[0]]).toEqual([
    0,
    "a change of roots is under way already: heddle ca status",
  ]);
  await over();
}, 60_000);

test("a root that has expired is no obstacle: the mesh comes back under the new one", async () => {
  await using directory = await temporaryDirectory();
  const custody = new FileCustody(join(directory.path, "ca"));
  await openAuthorityIn(custody, { trustDomain: "mesh.local", nowMs: Date.now() - ROOT_LIFE_MS - 60_000 });
  const control = await startMesh();
  await using ending = new AsyncDisposableStack();
  ending.defer(() => control.stop());
  const replica = await control.startReplica({ ...TTL, custody });
  await send(control.ada, applying(service("web")));
  const web = await startTestSidecar(control.nats, { service: "shop/web", appPort: 1 }, 1);
  ending.defer(() => web.stop());
  const refusal = "the mesh's root has expired, nothing can be signed: heddle ca rotate";
  await eventually(() => expect(web.sidecar.notReady()).toContain(refusal));
  expect((await rotate("start", control.ada)).kind).toBe("decided");
  await eventually(() => expect(web.sidecar.notReady()).toBeUndefined(), PATIENCE_MS);
  await eventually(() => {
    const steps = replica.lines
      .filter(({ message }) => message.startsWith("a step of"))
      .map(({ fields }) => fields.step);
    expect(steps).toEqual(["RootAdded", "RootActivated", "RootRetired"]);
  }, PATIENCE_MS);
}, 120_000);
