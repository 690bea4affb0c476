/** Who was added gets in, who was revoked is out: the ledger's word, kept by the NATS server. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { encodeAccount, fromSeed } from "@nats-io/jwt";
import { askCredentials, type CommandSender } from "../../src/cli/mesh/command-client.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import { PermissionDenied } from "../../src/nats/bus.ts";
import type { Credentials } from "../../src/nats/credentials.ts";
import { createUserKey } from "../../src/nats/keys.ts";
import { writePrivateFile } from "../../src/nats/private-file.ts";
import { eventually } from "../support/mesh.ts";
import { type ControlMesh, send, startMesh } from "./mesh.ts";

let mesh: ControlMesh;
let ada: CommandSender;
beforeEach(async () => {
  mesh = await startMesh();
  ada = mesh.ada;
});
afterEach(() => mesh.stop());

async function decided(namespace: string, body: CommandBody, sender = ada): Promise<void> {
  const reply = await send(sender, body, { namespace });
  if (reply.kind !== "decided") throw new Error(JSON.stringify(reply));
}

/** Has somebody added, and resolves with the credentials that control gives out. */
async function added(name: string, role: "admin" | "editor" | "viewer", namespaces: string[] = []) {
  const key = createUserKey();
  await decided("_mesh", { kind: "operator-add", name, publicKey: key.publicKey, role, namespaces });
  return issued(name, key);
}

async function issued(name: string, key: { publicKey: string; seed: string }): Promise<Credentials> {
  const reply = await askCredentials(ada, key.publicKey);
  if (reply.kind !== "valid") throw new Error(JSON.stringify(reply));
  return { name, ...key, jwt: reply.jwt };
}

/** Resolves with the sender, and when the server ends its connection. */
async function connected(credentials: Credentials): Promise<CommandSender & { ended: Promise<unknown> }> {
  const { bus } = await mesh.nats.connect(credentials);
  const ended = new Promise((resolve) => bus.onConnection((event) => event !== "connected" && resolve(event)));
  return { bus, credentials, ended };
}

const service: CommandBody = {
  kind: "apply",
  documents: [
    {
      apiVersion: "heddle/v1",
      kind: "Service",
      metadata: { namespace: "shop", name: "web" },
      spec: { ports: [{ port: 80, protocol: "http" }] },
    },
  ],
};

test("an operator who was added commands, and is thrown out when revoked, for good", async () => {
  await mesh.startReplica();
  const bob = await added("bob", "editor", ["shop"]);
  const bobs = await connected(bob);
  await decided("shop", service, bobs);
  await decided("_mesh", { kind: "operator-revoke", name: "bob" });
  expect(await askCredentials(ada, bob.publicKey)).toEqual({ kind: "revoked", enforced: true });
  await bobs.ended;
  await expect(mesh.nats.connect(bob)).rejects.toBeInstanceOf(PermissionDenied);
  // The server remembers by itself, with no replica to tell it.
  await mesh.nats.kill9();
  await mesh.nats.restart();
  await expect(mesh.nats.connect(bob)).rejects.toBeInstanceOf(PermissionDenied);
});

test("whoever is not revoked keeps the connection", async () => {
  await mesh.startReplica();
  const [bob, eve] = [await added("bob", "viewer"), await added("eve", "viewer")];
  const [bobs, eves] = [await connected(bob), await connected(eve)];
  let interruptions = 0;
  eves.bus.onConnection(() => interruptions++);
  await decided("_mesh", { kind: "operator-revoke", name: "bob" });
  await bobs.ended;
  expect(await askCredentials(eves, eve.publicKey)).toMatchObject({ kind: "valid" });
  expect(interruptions).toBe(0);
});

test("a server that has forgotten is told again", async () => {
  await mesh.startReplica();
  const bob = await added("bob", "viewer");
  await decided("_mesh", { kind: "operator-revoke", name: "bob" });
  expect(await askCredentials(ada, bob.publicKey)).toMatchObject({ enforced: true });
  await mesh.nats.kill9();
  await mesh.nats.forgetAccounts();
  await mesh.nats.restart();
  // The replica comes back to it and says so unasked; until then bob may have got in, and is then thrown out.
  for (;;) {
    const bobs = await connected(bob).catch((error: unknown) => error);
    if (bobs instanceof PermissionDenied) break;
    if (bobs instanceof Error) throw bobs;
    await (bobs as Awaited<ReturnType<typeof connected>>).ended;
  }
});

test("a server that knows the accounts of an earlier version is told of this one's", async () => {
  const { directory } = mesh.nats;
  const trust = await directory.trust();
  const [signer, clients] = [trust.operator, trust.clients].map(({ seed }) => fromSeed(new TextEncoder().encode(seed)));
  if (signer === undefined || clients === undefined) throw new Error("no keys");
  // Nothing crosses its border.
  const limits = { subs: -1, data: -1, payload: -1, conn: -1, leaf: 0, imports: -1, exports: -1, wildcards: true };
  const jwt = await encodeAccount("HEDDLE_CLIENTS", clients, { limits }, { signer });
  await mesh.nats.kill9();
  await mesh.nats.forgetAccounts();
  const former = { ...trust, clients: { ...trust.clients, jwt } };
  await writePrivateFile(join(directory.path, "trust", "nats.json"), JSON.stringify(former));
  await mesh.nats.restart();
  await mesh.startReplica();
  await eventually(async () => {
    expect(await askCredentials(ada, ada.credentials.publicKey)).toMatchObject({ kind: "valid" });
  }, 30_000);
});

test("two replicas revoke what either was told, and a key is never given back", async () => {
  await mesh.startReplica();
  const [bob, eve] = [await added("bob", "viewer"), await added("eve", "viewer")];
  await decided("_mesh", { kind: "operator-revoke", name: "bob" });
  const second = await mesh.startReplica();
  await decided("_mesh", { kind: "operator-revoke", name: "eve" });
  await second.settled();
  for (const gone of [bob, eve]) {
    expect(await askCredentials(ada, gone.publicKey)).toEqual({ kind: "revoked", enforced: true });
    await expect(mesh.nats.connect(gone)).rejects.toBeInstanceOf(PermissionDenied);
  }
});

test("a replica without the accounts' keys says that it cannot, and takes no commands of the revoked", async () => {
  await mesh.startReplica({ keyless: true });
  const key = createUserKey();
  await decided("_mesh", {
    kind: "operator-add",
    name: "bob",
    publicKey: key.publicKey,
    role: "admin",
    namespaces: [],
  });
  expect(await askCredentials(ada, key.publicKey)).toEqual({ kind: "keyless" });
  expect(await askCredentials(ada, createUserKey().publicKey)).toEqual({ kind: "unknown" });
  const bob = await connected(await mesh.nats.mintOperator({ name: "bob", role: "admin", namespaces: [] }, key));
  await decided("shop", service, bob);
  await decided("_mesh", { kind: "operator-revoke", name: "bob" });
  expect(await askCredentials(ada, key.publicKey)).toMatchObject({ kind: "revoked", enforced: false });
  expect(await send(bob, { kind: "delete", keys: ["Service/shop/web"] })).toMatchObject({ kind: "refused" });
});

test("an editor whom the ledger would let at the whole mesh stays in the namespaces", async () => {
  const replica = await mesh.startReplica();
  const user = { name: "eve", role: "editor", namespaces: ["_mesh", "shop"] } as const;
  const eve = await mesh.connectOperator(user);
  await mesh.admit(replica, user, eve.credentials.publicKey);
  const body: CommandBody = { kind: "operator-revoke", name: "ada" };
  expect(await send(eve, body, { namespace: "_mesh" })).toMatchObject({ kind: "refused" });
  await decided("shop", service, eve);
});
