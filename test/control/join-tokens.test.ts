/** Joining with tokens: over a real server and real replicas, as sidecars ask for certificates. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createKeyAndRequest } from "../../src/ca/workload/csr.ts";
import { signOverBus } from "../../src/ca/workload/sign-client.ts";
import { askCredentials } from "../../src/cli/mesh/command-client.ts";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import { PermissionDenied } from "../../src/nats/bus.ts";
import type { Credentials } from "../../src/nats/credentials.ts";
import { createUserKey } from "../../src/nats/keys.ts";
import { type ControlMesh, send, startMesh } from "./mesh.ts";

let mesh: ControlMesh;
let csr: string;
/** Of the replicas; the commands' time is the real one. */
let aheadMs = 0;
beforeAll(async () => {
  mesh = await startMesh();
  // Two, so that counting cannot rest on what one of them remembers.
  for (let replicas = 0; replicas < 2; replicas++) await mesh.startReplica({ now: () => Date.now() + aheadMs });
  csr = (await createKeyAndRequest()).csrPem;
});
afterAll(() => mesh.stop());

async function token(terms: { expiresAt?: string; usesMax?: number } = {}, service = "orders"): Promise<Credentials> {
  const key = createUserKey();
  const about = { namespace: "shop", name: service };
  const reply = await send(mesh.ada, { kind: "token-create", service: about, publicKey: key.publicKey, ...terms });
  if (reply.kind !== "decided") throw new Error(JSON.stringify(reply));
  const issued = await askCredentials(mesh.ada, key.publicKey);
  if (issued.kind !== "valid") throw new Error(JSON.stringify(issued));
  return { name: `shop/${service}`, ...key, jwt: issued.jwt };
}

/** Asks for a certificate as an instance does; undefined when it was signed, else why not. */
async function joining(credentials: Credentials): Promise<(instance: string) => Promise<string | undefined>> {
  const { bus } = await mesh.nats.connect(credentials);
  return async (instance) => {
    const user = credentials.publicKey;
    const sign = signOverBus(bus, { namespace: "shop", service: "orders", user, instance, timeoutMs: 10_000 });
    return sign(csr).then(
      () => undefined,
      (error: unknown) => String(error),
    );
  };
}

test("as many instances as a token is good for, each as often as it likes", async () => {
  const credentials = await token({ usesMax: 2 });
  const join = await joining(credentials);
  expect(await join("vm-1")).toBeUndefined();
  expect(await join("vm-2")).toBeUndefined();
  expect(await join("vm-3")).toContain("2 instances have joined with the token, which is all that it is good for");
  for (const instance of ["vm-1", "vm-2", "vm-1"]) expect(await join(instance)).toBeUndefined();
  const changes = await Array.fromAsync(readEventLog(mesh.ada.bus).read({ namespace: "shop" }));
  const used = changes.flatMap(({ change }) => change.data.events.filter(({ type }) => type === "TokenUsed"));
  expect(used).toEqual(
    ["vm-1", "vm-2"].map((instance) => {
      return { type: "TokenUsed", namespace: "shop", service: "orders", publicKey: credentials.publicKey, instance };
    }),
  );
});

test("a request that cannot be signed uses nothing up", async () => {
  const credentials = await token({ usesMax: 1 });
  const join = await joining(credentials);
  const good = csr;
  // Damaged in the signature: whoever sends it has not shown to hold the key.
  const lines = good.trim().split("\n");
  const last = lines.at(-2) ?? "";
  const damaged = [
    ...lines.slice(0, -2),
    last.replace(/[A-Za-z]/, (letter) => (letter === "A" ? "B" : "A")),
    lines.at(-1),
  ];
  for (const [bad, why] of [
    ["no request", "not a PKCS#10 certificate request"],
    [damaged.join("\n"), "refused to sign"],
  ] as const) {
    csr = bad;
    expect(await join("vm-1")).toContain(why);
  }
  csr = good;
  expect(await join("vm-2")).toBeUndefined();
  expect(await join("vm-3")).toContain("1 instance has joined with the token");
});

test("many that ask two replicas at once do not get in beyond that", async () => {
  const join = await joining(await token({ usesMax: 3 }));
  const outcomes = await Promise.all(Array.from({ length: 12 }, (_, index) => join(`vm-${index}`)));
  expect(outcomes.filter((outcome) => outcome === undefined)).toHaveLength(3);
});

test("a token without a number lets any instance in, and nothing is recorded of it", async () => {
  const join = await joining(await token());
  const before = await readEventLog(mesh.ada.bus).lastRevision();
  for (let index = 0; index < 5; index++) expect(await join(`vm-${index}`)).toBeUndefined();
  expect(await readEventLog(mesh.ada.bus).lastRevision()).toBe(before);
});

test("a revoked token ends its connections, and opens none", async () => {
  const credentials = await token();
  const { bus } = await mesh.nats.connect(credentials);
  const ended = new Promise((resolve) => bus.onConnection(resolve));
  await send(mesh.ada, { kind: "token-revoke", publicKey: credentials.publicKey });
  await ended;
  await expect(mesh.nats.connect(credentials)).rejects.toBeInstanceOf(PermissionDenied);
});

test("an expired token is refused by the server, and by a replica that it still reaches", async () => {
  const past = await token({ expiresAt: new Date(Date.now() - 60_000).toISOString() });
  await expect(mesh.nats.connect(past)).rejects.toBeInstanceOf(PermissionDenied);
  const join = await joining(await token({ expiresAt: new Date(Date.now() + 60_000).toISOString() }));
  expect(await join("vm-1")).toBeUndefined();
  aheadMs = 120_000;
  expect(await join("vm-1")).toContain("the join token has expired");
  aheadMs = 0;
});

test("credentials made with the accounts' own keys are no tokens, and not counted", async () => {
  const join = await joining(await mesh.nats.mintService("shop", "orders"));
  expect(await join("vm-1")).toBeUndefined();
});

test("a token of another service asks for nothing here", async () => {
  const join = await joining(await token({}, "web"));
  expect(await join("vm-1")).toMatch(/not allowed|no answer/);
});
