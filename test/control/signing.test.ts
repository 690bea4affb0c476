/** Several control replicas are one authority. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createKeyAndRequest } from "../../src/ca/workload/csr.ts";
import { decodePem } from "../../src/ca/workload/pem.ts";
import { signOverBus } from "../../src/ca/workload/sign-client.ts";
import { type ControlMesh, startMesh, type TestReplica } from "./mesh.ts";

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
