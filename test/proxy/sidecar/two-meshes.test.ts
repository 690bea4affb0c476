/** A service of one mesh, called by a workload of another: each with its own NATS, authority and policy. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { clustersOf } from "../../support/calling-web.ts";
import { type EchoServer, startEchoServer } from "../../support/echo-server.ts";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../../support/node-app.ts";

const [SELLERS, BUYERS] = ["sellers.local", "buyers.local"];
const BUYER = `spiffe://${BUYERS}/ns/trade/sa/buyer`;

function service(namespace: string, name: string, protocol: string, rest = ""): string {
  return `apiVersion: heddle/v1
kind: Service
metadata: { namespace: ${namespace}, name: ${name} }
spec: { ports: [{ port: 8080, protocol: ${protocol} }]${rest} }
---
`;
}

function allow(namespace: string, name: string, rule: string): string {
  return `apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: ${namespace}, name: ${name} }
spec: { service: ${name}, rules: [{ allow: { ${rule} } }] }
---
`;
}

/** A service of the sellers, as the buyers know it. */
function theirs(name: string, protocol: string, { sidecar }: TestSidecar, who = `shop/sa/${name}`): string {
  const address = `"127.0.0.1:${sidecar.inboundAddress.port}"`;
  const external = `, external: { identity: "spiffe://${SELLERS}/ns/${who}", addresses: [${address}] }`;
  return service("partners", name, protocol, external) + allow("partners", name, "from: [trade/buyer]");
}

let sellers: TestMesh;
let buyers: TestMesh;
let app: NodeApp;
let tcp: EchoServer;
let buyer: TestSidecar;
let catalog: TestSidecar;
let db: TestSidecar;

beforeAll(async () => {
  [sellers, buyers, app] = await Promise.all([TestMesh.start(SELLERS), TestMesh.start(BUYERS), startNodeApp("v1")]);
  tcp = await startEchoServer();
  await sellers.apply(
    service("shop", "catalog", "http") + allow("shop", "catalog", `from: ["${BUYER}"], methods: [GET]`),
  );
  await sellers.apply(service("shop", "db", "tcp") + allow("shop", "db", `from: ["${BUYER}"]`));
  catalog = await sellers.startSidecar({ service: "shop/catalog", appPort: app.port });
  db = await sellers.startSidecar({ service: "shop/db", appPort: tcp.port });
  await buyers.apply(service("trade", "buyer", "http") + theirs("catalog", "http", catalog) + theirs("db", "tcp", db));
  const upstream = { namespace: "partners", name: "db", address: { host: "127.0.0.1", port: 0 } };
  buyer = await buyers.startSidecar({ service: "trade/buyer", appPort: 1, upstreams: [upstream] });
  await Promise.all([sellers.converged(), buyers.converged()]);
});

afterAll(async () => {
  await Promise.all([sellers.stop(), buyers.stop(), app.kill()]);
  tcp.close();
});

function call(path = "/", init: RequestInit = {}): Promise<Response> {
  return fetch(`${buyer.outbound}${path}`, { ...init, headers: { host: "catalog.partners" } });
}

function trust(mesh: TestMesh, trustDomain: string, of: TestMesh): Promise<number> {
  const roots = [...of.ledger.state.roots.values()].map(({ pem }) => pem);
  return mesh.command("_mesh", { kind: "federate", trustDomain, roots });
}

/** What comes back of a word over TCP; empty where the connection ends instead. */
function echo(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(buyer.sidecar.upstreamAddresses[0]?.port ?? 0, "127.0.0.1");
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.on("error", () => {}).once("close", () => resolve(""));
    socket.write("word");
  });
}

test("nothing passes until each trusts the other", async () => {
  expect((await call()).status).toBe(503);
  await trust(buyers, SELLERS, sellers);
  expect((await call()).status).toBe(503);
  await trust(sellers, BUYERS, buyers);
  await eventually(async () => expect((await call()).status).toBe(200));
  expect(await echo()).toBe("word");
});

test("what the caller may do, the called mesh's policy says, and tells the application who called", async () => {
  const { headers } = (await (await call("/items")).json()) as { headers: string[] };
  const at = headers.findIndex((name) => name.toLowerCase() === "x-forwarded-client-cert");
  expect(headers[at + 1]).toBe(`By=spiffe://${SELLERS}/ns/shop/sa/catalog;URI=${BUYER}`);
  const refused = await call("/items", { method: "POST", body: "x" });
  expect(refused.status).toBe(403);
  expect(await refused.text()).toContain(`${BUYER} may not POST /items on shop/catalog`);
});

test("a server that is another service there, or calls itself so here, is not taken for it", async () => {
  await buyers.apply(theirs("catalog", "http", catalog, "shop/sa/somebody"));
  await eventually(async () => expect((await call()).status).toBe(503));
  await buyers.apply(theirs("catalog", "http", catalog));
  await eventually(async () => expect((await call()).status).toBe(200));
  // An instance of the same name in our own mesh announces itself, and gets none of the calls.
  await buyers.startSidecar({ service: "partners/catalog", appPort: 1 });
  await buyers.converged();
  for (let count = 0; count < 20; count++) expect((await call()).status).toBe(200);
});

test("where it is, policy says, and another address takes effect at once", async () => {
  const second = await sellers.startSidecar({ service: "shop/catalog", appPort: app.port });
  await sellers.converged();
  await buyers.apply(theirs("catalog", "http", second));
  await eventually(async () => {
    const clusters = await clustersOf(buyer);
    const own = clusters.find((cluster) => cluster.service === "partners/catalog");
    expect(own?.endpoints.map(({ address }) => address)).toEqual([`127.0.0.1:${second.sidecar.inboundAddress.port}`]);
  });
  await catalog.stop();
  for (let count = 0; count < 5; count++) expect((await call()).status).toBe(200);
});

test("whose trust is withdrawn is called no more, and what is open ends", async () => {
  const socket = connect(buyer.sidecar.upstreamAddresses[0]?.port ?? 0, "127.0.0.1");
  await new Promise((resolve) => socket.once("data", resolve).write("word"));
  const ended = new Promise((resolve) => socket.on("error", () => {}).once("close", resolve));
  await buyers.command("_mesh", { kind: "unfederate", trustDomain: SELLERS });
  await ended;
  expect((await call()).status).toBe(503);
  expect(await echo()).toBe("");
});
