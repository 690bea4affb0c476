/** A revoked identity: refused by both ends, what it has open closed, and back when it is reinstated. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { CommandBody } from "../../../src/events/commands.ts";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../../support/node-app.ts";

const POLICY = ["web", "catalog", "db"]
  .map(
    (name) => `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: [{ port: 5432, protocol: ${name === "db" ? "tcp" : "http"} }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: ${name} }
spec: { service: ${name}, rules: [{ allow: { from: [shop/web] } }] }
---
`,
  )
  .join("");

const WEB = { namespace: "shop", name: "web" };
const CATALOG = { namespace: "shop", name: "catalog" };

let mesh: TestMesh;
let web: TestSidecar;
let catalog: TestSidecar;
let db: Server;
let app: NodeApp;

beforeAll(async () => {
  db = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => db.listen(0, "127.0.0.1", resolve));
  [mesh, app] = await Promise.all([TestMesh.start(), startNodeApp("v1")]);
  await mesh.apply(POLICY);
  const address = db.address();
  const appPort = typeof address === "object" ? (address?.port ?? 0) : 0;
  const bound = { namespace: "shop", name: "db", address: { host: "127.0.0.1", port: 0 } };
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1, upstreams: [bound] });
  catalog = await mesh.startSidecar({ service: "shop/catalog", appPort: app.port });
  await mesh.startSidecar({ service: "shop/db", appPort });
  await mesh.converged();
  await eventually(async () => expect((await call()).status).toBe(200));
});

afterAll(async () => {
  await mesh.stop();
  await app.kill();
  db.close();
});

function call(): Promise<Response> {
  return fetch(`${web.outbound}/`, { headers: { host: "catalog" } });
}

function command(body: CommandBody): Promise<number> {
  return mesh.command("shop", body);
}

/** A tunnel from web to db through which bytes have gone to and fro. */
async function tunnel(): Promise<Socket> {
  const socket = connect(web.sidecar.upstreamAddresses[0]?.port ?? 0, "127.0.0.1");
  socket.on("error", () => {});
  const echoed = new Promise((resolve) => socket.once("data", resolve));
  socket.write("ping");
  await Promise.race([
    echoed,
    new Promise((_, reject) => socket.once("close", () => reject(new Error("no tunnel yet")))),
  ]);
  return socket;
}

async function serial(sidecar: TestSidecar): Promise<string> {
  const { status } = (await (await fetch(`${sidecar.admin}/config_dump`)).json()) as {
    status: { certificateSerial: string };
  };
  return status.certificateSerial;
}

function metrics({ admin }: TestSidecar): Promise<string> {
  return fetch(`${admin}/stats/prometheus`).then((response) => response.text());
}

describe("a service as a whole", () => {
  test("its tunnels and requests end, its calls fail, and it says why; then it is reinstated", async () => {
    const socket = await eventually(tunnel);
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await command({ kind: "revoke-identity", service: WEB });
    await closed;
    await eventually(async () => expect((await call()).status).toBe(503));
    expect(web.sidecar.notReady()).toContain("spiffe://mesh.local/ns/shop/sa/web is revoked");
    await eventually(() => expect(web.sidecar.notReady()).toContain("was revoked by alice at revision"));
    expect(await metrics(web)).toMatch(/heddle_connections_revoked_total\{direction="outbound"\} [1-9]/);

    const before = await serial(web);
    await command({ kind: "reinstate-identity", service: WEB });
    await eventually(async () => expect((await call()).status).toBe(200));
    // Not the certificate of before: it was issued before the revocation.
    expect(await serial(web)).not.toBe(before);
    (await eventually(tunnel)).destroy();
  });

  test("one that is called: its callers refuse it, and what they have open to it is closed", async () => {
    const slow = fetch(`${web.outbound}/slow?ms=60000`, { headers: { host: "catalog" } });
    await eventually(async () => {
      const clusters = await (await fetch(`${web.admin}/clusters`)).text();
      expect(clusters).toContain('"activeRequests":1');
    });
    await command({ kind: "revoke-identity", service: CATALOG });
    expect((await slow).status).toBe(503);
    expect((await call()).status).toBe(503);
    await command({ kind: "reinstate-identity", service: CATALOG });
    await eventually(async () => expect((await call()).status).toBe(200));
  });
});

describe("one certificate", () => {
  test("whoever holds it lawfully gets another at once", async () => {
    const before = await serial(catalog);
    await command({ kind: "revoke-identity", service: CATALOG, serial: before });
    await eventually(async () => expect(await serial(catalog)).not.toBe(before));
    await eventually(async () => expect((await call()).status).toBe(200));
    expect(catalog.sidecar.notReady()).toBeUndefined();
  });

  test("an instance that is revoked gets no other, and its brother is not touched", async () => {
    const brother = await mesh.startSidecar({ service: "shop/catalog", appPort: app.port });
    await eventually(() => expect(brother.sidecar.notReady()).toBeUndefined());
    const instance = "catalog-2";
    await command({ kind: "revoke-identity", service: CATALOG, instance, serial: await serial(catalog) });
    await eventually(() => expect(catalog.sidecar.notReady()).toContain(`instance ${instance} of shop/catalog`));
    expect(brother.sidecar.notReady()).toBeUndefined();
    await eventually(async () => expect((await call()).status).toBe(200));
    await command({ kind: "reinstate-identity", service: CATALOG, instance });
    await eventually(() => expect(catalog.sidecar.notReady()).toBeUndefined());
    await brother.stop();
  });
});
