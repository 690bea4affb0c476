/** Several control replicas are one authority. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { FileCustody } from "../../src/ca/file-custody.ts";
import { createKeyAndRequest } from "../../src/ca/workload/csr.ts";
import { decodePem } from "../../src/ca/workload/pem.ts";
import { signOverBus } from "../../src/ca/workload/sign-client.ts";
import { askCheck } from "../../src/cli/mesh/command-client.ts";
import type { Bus } from "../../src/nats/bus.ts";
import { MESH_NAMESPACE } from "../../src/policy/names.ts";
import { temporaryDirectory } from "../ca/temporary.ts";
import { eventually } from "../support/mesh.ts";
import { type ControlMesh, send, startMesh, type TestReplica } from "./mesh.ts";

let mesh: ControlMesh;
let replicas: TestReplica[];
beforeAll(async () => {
  mesh = await startMesh();
  // At once, so that they also race for who makes the root and the issuing certificate.
  replicas = await Promise.all([mesh.startReplica(), mesh.startReplica(), mesh.startReplica()]);
});
afterAll(() => mesh.stop());

function signedBy({ lines }: TestReplica): number {
  return lines.filter(({ message }) => message === "certificate signed").length;
}

test("they share the requests, and sign them under one issuing certificate and one root", async () => {
  const credentials = await mesh.nats.mintService("shop", "orders");
  const { bus } = await mesh.nats.connect(credentials);
  const options = { namespace: "shop", service: "orders", user: credentials.publicKey, timeoutMs: 20_000 };
  const chains: string[][] = [];
  // Until each has had one: who gets a request, the server draws.
  while (chains.length < 500 && Math.min(...replicas.map(signedBy)) === 0) {
    const sign = signOverBus(bus, { ...options, instance: `i${chains.length}` });
    const { chainPem, bundle } = await sign((await createKeyAndRequest()).csrPem);
    const [, issuer] = decodePem("CERTIFICATE", chainPem) ?? [];
    chains.push([issuer?.toHex() ?? "", bundle.join()]);
  }
  expect(Math.min(...replicas.map(signedBy))).toBeGreaterThan(0);
  expect(new Set(chains.map(([, bundle]) => bundle)).size).toBe(1);
  expect(new Set(chains.map(([issuer]) => issuer)).size).toBe(1);
}, 60_000);

/** Certificates that are asked for one after the other, each of whichever replica the server draws. */
async function askOften(bus: Bus, user: string, times: number): Promise<string[]> {
  const refusals: string[] = [];
  for (let index = 0; index < times; index++) {
    const sign = signOverBus(bus, { namespace: "shop", service: "orders", user, instance: "i", timeoutMs: 20_000 });
    await sign((await createKeyAndRequest()).csrPem).catch((error: unknown) => refusals.push(String(error)));
  }
  return refusals;
}

test("where each keeps keys of its own, one that lacks the key that signs leaves signing to the others", async () => {
  await using directory = await temporaryDirectory();
  const [first, second] = ["first", "second"].map((name) => join(directory.path, name));
  if (first === undefined || second === undefined) throw new Error("two directories");
  const separate = await startMesh();
  await using ending = new AsyncDisposableStack();
  ending.defer(() => separate.stop());
  const holder = await separate.startReplica({ custody: new FileCustody(first), instanceTtlMs: 1_000 });
  const startOther = () => separate.startReplica({ custody: new FileCustody(second), instanceTtlMs: 1_000 });
  await expect(startOther()).rejects.toThrow("which signs for the mesh, are not here");
  await cp(first, second, { recursive: true });
  const other = await startOther();
  const credentials = await separate.nats.mintService("shop", "orders");
  const { bus } = await separate.nats.connect(credentials);
  await send(separate.ada, { kind: "rotate-root", action: "start" }, { namespace: MESH_NAMESPACE });
  // Whichever begins makes the new root, and the other one has not got it.
  const [keyless, keyed] = await eventually(() => {
    const faults = [holder, other].map(({ lines }) =>
      lines.some(({ fields }) => String(fields.reason).includes("are not here")),
    );
    if (faults[0] === faults[1]) throw new Error("neither lacks the key yet");
    const signing = [holder, other].map(({ lines }) =>
      lines.some(({ message }) => message.includes("under another root")),
    );
    if (!signing.includes(true)) throw new Error("the new root does not sign yet");
    return faults[0] ? [holder, other] : [other, holder];
  }, 30_000);
  if (keyless === undefined || keyed === undefined) throw new Error("two replicas");
  // It may have been drawn before it had read that the root has changed.
  await eventually(
    async () => expect((await askCheck(separate.ada)).replicas.filter(({ cannotSign }) => cannotSign)).toHaveLength(1),
    30_000,
  );
  const before = signedBy(keyless);
  expect(await askOften(bus, credentials.publicKey, 30)).toEqual([]);
  expect(signedBy(keyless)).toBe(before);
  // With the key it takes its share again, without being started anew.
  const [from, to] = keyless === holder ? [second, first] : [first, second];
  await cp(from, to, { recursive: true });
  await eventually(async () => {
    expect(await askOften(bus, credentials.publicKey, 5)).toEqual([]);
    expect(signedBy(keyless)).toBeGreaterThan(before);
  }, 30_000);
}, 90_000);
