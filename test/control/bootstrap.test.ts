/** How a ledger begins, and who may go on with it. */

import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileCustody } from "../../src/ca/file-custody.ts";
import { verifyChain } from "../../src/events/chain.ts";
import { FIRST_PREVIOUS } from "../../src/events/change.ts";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import { type ControlMesh, startMesh } from "./mesh.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function newMesh(): Promise<ControlMesh> {
  const mesh = await startMesh();
  cleanups.push(() => mesh.stop());
  return mesh;
}

test("the first change says who may command, whom to trust, and that the mesh is closed", async () => {
  const mesh = await newMesh();
  const replica = await mesh.startReplica();
  const changes = await Array.fromAsync(readEventLog(mesh.ada.bus).read());
  expect(changes).toHaveLength(1);
  expect(changes[0]?.change).toMatchObject({ subject: "_mesh", authtype: "system", authid: "heddle" });
  expect(changes[0]?.change.data).toMatchObject({
    actor: { name: "heddle" },
    previous: FIRST_PREVIOUS,
    events: [
      { type: "OperatorAdded", name: "ada", role: "admin", publicKey: mesh.ada.credentials.publicKey },
      { type: "RootAdded" },
      { type: "RootActivated" },
      { type: "MeshDeclared", spec: { trustDomain: "mesh.local", mtls: "strict", access: "deny" } },
    ],
  });
  expect(replica.revision).toBe(1);
});

test("replicas that start at once write it once, and later ones find it", async () => {
  const mesh = await newMesh();
  const replicas = await Promise.all([mesh.startReplica(), mesh.startReplica(), mesh.startReplica()]);
  replicas.push(await mesh.startReplica());
  expect(replicas.map(({ revision }) => revision)).toEqual([1, 1, 1, 1]);
  expect(await readEventLog(mesh.ada.bus).lastRevision()).toBe(1);
  expect((await verifyChain(readEventLog(mesh.ada.bus).read())).problems).toEqual([]);
});

test("a replica of another mesh does not join", async () => {
  const mesh = await newMesh();
  await mesh.startReplica();
  const path = await mkdtemp(join(tmpdir(), "heddle-other-"));
  cleanups.push(() => rm(path, { recursive: true, force: true }));
  const custody = (name: string) => new FileCustody(join(path, name));
  await expect(mesh.startReplica({ custody: custody("a") })).rejects.toThrow("which signs for the mesh, are not here");
  await expect(mesh.startReplica({ custody: custody("b"), trustDomain: "other.local" })).rejects.toThrow(
    "the ledger is of the mesh mesh.local, this replica was started for other.local",
  );
  expect(await readEventLog(mesh.ada.bus).lastRevision()).toBe(1);
});

test("an empty ledger needs somebody who may write to it", async () => {
  const mesh = await newMesh();
  await expect(mesh.startReplica({ anonymous: true })).rejects.toThrow("name the first operator");
  expect(await readEventLog(mesh.ada.bus).lastRevision()).toBe(0);
  await mesh.startReplica();
  expect((await mesh.startReplica({ anonymous: true })).revision).toBe(1);
});
