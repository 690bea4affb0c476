/** Workloads of another trust domain: believed by their own roots, for their own names, for as long as they are trusted. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type TLSSocket } from "node:tls";
import { toJwkSet } from "../../../src/ca/spiffe-bundle.ts";
import { type Forged, forge, forgeAuthority } from "../../ca/forge.ts";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../../support/node-app.ts";

const FOREIGN = "spiffe://other.local/ns/partners/sa/buyer";
const POLICY = `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: catalog }
spec: { service: catalog, rules: [{ allow: { from: ["${FOREIGN}", "shop/web"] } }] }
`;

const other = await forgeAuthority("other");
let mesh: TestMesh;
let catalog: TestSidecar;
let app: NodeApp;

beforeAll(async () => {
  [mesh, app] = await Promise.all([TestMesh.start(), startNodeApp("v1")]);
  await mesh.apply(POLICY);
  catalog = await mesh.startSidecar({ service: "shop/catalog", appPort: app.port });
  await mesh.converged();
});

afterAll(async () => {
  await mesh.stop();
  await app.kill();
});

function open(leaf: Forged, above: readonly Forged[] = [other.issuer]): TLSSocket {
  const socket = connect({
    host: "127.0.0.1",
    port: catalog.sidecar.inboundAddress.port,
    rejectUnauthorized: false,
    cert: [leaf, ...above].map(({ pem }) => pem).join(""),
    key: leaf.keyPem,
    ALPNProtocols: ["http/1.1"],
  });
  return socket.on("error", () => {});
}

/** The status of a request over a connection of this client; 0 where there was none. */
function ask(socket: TLSSocket): Promise<number> {
  return new Promise((resolve) => {
    socket.once("data", (chunk: Buffer) =>
      resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(chunk.toString("latin1"))?.[1] ?? 0)),
    );
    socket.once("close", () => resolve(0));
    // Kept until the handshake is over.
    socket.write("GET / HTTP/1.1\r\nhost: catalog\r\n\r\n");
  });
}

async function asked(uri: string, above?: readonly Forged[]): Promise<number> {
  const by = above?.[0] ?? other.issuer;
  const socket = open(await forge({ uris: [uri], by }), above);
  const status = await ask(socket);
  socket.destroy();
  return status;
}

function federate(roots: string[], trustDomain = "other.local"): Promise<number> {
  return mesh.command("_mesh", { kind: "federate", trustDomain, roots });
}

test("nobody of another trust domain is let in until it is trusted; then policy says who may do what", async () => {
  expect(await asked(FOREIGN)).toBe(0);
  await federate([other.root.pem]);
  await eventually(async () => expect(await asked(FOREIGN)).toBe(200));
  // Believed, and not allowed: nobody has granted it anything.
  expect(await asked("spiffe://other.local/ns/partners/sa/stranger")).toBe(403);
  // A service of ours by its names, of another domain by its certificate.
  expect(await asked("spiffe://other.local/ns/shop/sa/web")).toBe(403);
});

test("their root vouches for their names only, and another's not for theirs", async () => {
  expect(await asked("spiffe://mesh.local/ns/shop/sa/web")).toBe(0);
  const third = await forgeAuthority("third");
  expect(await asked(FOREIGN, [third.issuer])).toBe(0);
  await federate([third.root.pem], "third.local");
  await eventually(async () => {
    expect(await asked("spiffe://third.local/ns/partners/sa/buyer", [third.issuer])).toBe(403);
  });
  expect(await asked(FOREIGN, [third.issuer])).toBe(0);
  expect(await asked("spiffe://third.local/ns/partners/sa/buyer", [other.issuer])).toBe(0);
  // Without an issuing certificate between, as other implementations sign.
  expect(await asked(FOREIGN, [other.root])).toBe(200);
});

test("what they have open is closed when they are trusted no longer", async () => {
  const socket = open(await forge({ uris: [FOREIGN], by: other.issuer }));
  expect(await ask(socket)).toBe(200);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await mesh.command("_mesh", { kind: "unfederate", trustDomain: "other.local" });
  await closed;
  expect(await asked(FOREIGN)).toBe(0);
});

test("what is refused", () => {
  const refusal = (body: Parameters<TestMesh["command"]>[1]) =>
    mesh.command("_mesh", body).catch((error: Error) => error.message);
  const roots = [other.root.pem];
  const own = [...mesh.ledger.state.roots.values()].map(({ pem }) => pem);
  return Promise.all([
    expect(refusal({ kind: "federate", trustDomain: "mesh.local", roots })).resolves.toContain("is this mesh itself"),
    expect(refusal({ kind: "federate", trustDomain: "a.local", roots: own })).resolves.toContain(
      "one of this mesh's own",
    ),
    expect(refusal({ kind: "federate", trustDomain: "a.local", roots: ["x"] })).resolves.toContain(
      "no certificate in PEM",
    ),
    expect(
      refusal({ kind: "federate", trustDomain: "a.local", roots: [toJwkSet(roots, 1).toString()] }),
    ).resolves.toContain("no certificate"),
  ]);
});

test("an older bundle does not bring back what its owner has withdrawn", async () => {
  const roots = [other.root.pem];
  await mesh.command("_mesh", { kind: "federate", trustDomain: "b.local", roots, sequence: 7 });
  const older = mesh.command("_mesh", { kind: "federate", trustDomain: "b.local", roots, sequence: 6 });
  await expect(older).rejects.toThrow("is older (6) than the one in force (7)");
});
