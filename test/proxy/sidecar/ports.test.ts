/** A Service with several ports, each with a protocol, an address of the application and rules of its own. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { helloMessage, nameEntry, record, serverName } from "../../support/client-hello.ts";
import { eventually, TestMesh } from "../../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../../support/node-app.ts";
import { serviceDocument } from "../../support/policy.ts";
import { RawClient } from "../../support/raw-client.ts";
import type { TestSidecar } from "../../support/sidecars.ts";

const PORTS = [
  { port: 8080, protocol: "http" },
  { port: 9090, protocol: "http" },
  { port: 5432, protocol: "tcp" },
  { port: 7000, protocol: "http" },
] as const;
const POLICY = `${serviceDocument("web", "http")}${serviceDocument("catalog", PORTS)}
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - allow: { from: [shop/web], ports: [8080, 5432, 7000] }
    - allow: { from: [shop/web], ports: [9090], methods: [GET] }
`;

let mesh: TestMesh;
let apps: NodeApp[];
let database: Server;
let web: TestSidecar;
let catalog: TestSidecar;
beforeAll(async () => {
  apps = await Promise.all(["main", "second"].map((name) => startNodeApp(name)));
  database = createServer((socket) => void socket.on("error", () => {}).end("database"));
  await new Promise<void>((resolve) => database.listen(0, "127.0.0.1", resolve));
  const address = database.address();
  mesh = await TestMesh.start();
  await mesh.apply(POLICY);
  const host = "127.0.0.1";
  const bound = { namespace: "shop", name: "catalog", address: { host, port: 0 } };
  web = await mesh.startSidecar({
    service: "shop/web",
    appPort: 1,
    outboundTls: { host, port: 0 },
    upstreams: [5432, 9090].map((port) => ({ ...bound, port })),
  });
  catalog = await mesh.startSidecar({
    service: "shop/catalog",
    appPort: apps[0]?.port ?? 0,
    appPorts: new Map([
      [9090, { host, port: apps[1]?.port ?? 0 }],
      [5432, { host, port: typeof address === "object" ? (address?.port ?? 0) : 0 }],
    ]),
  });
  await mesh.converged();
  await eventually(async () => expect((await ask("catalog")).instance).toBe("main"));
});
afterAll(async () => {
  await mesh.stop();
  await Promise.all(apps.map((app) => app.kill()));
  database.close();
});

interface Seen {
  readonly instance: string;
  readonly headers: readonly string[];
}

const call = (host: string, init: RequestInit = {}, base = web.outbound): Promise<Response> =>
  fetch(`${base}/`, { ...init, headers: { host, ...(init.headers as Record<string, string>) } });
const ask = async (host: string): Promise<Seen> => (await (await call(host)).json()) as Seen;

test("the authority's port chooses among those of the Service; any other means the first", async () => {
  expect((await ask("catalog:9090")).instance).toBe("second");
  expect((await ask("catalog.shop:8080")).instance).toBe("main");
  expect((await ask("catalog")).instance).toBe("main");
  expect((await ask("catalog:15001")).instance).toBe("main");
  // A port without an address of its own goes to the address for all others.
  expect((await ask("catalog:7000")).instance).toBe("main");
});

test("each port has its protocol: a tcp one takes no requests", async () => {
  const response = await call("catalog:5432");
  expect([response.status, response.headers.get("server")]).toEqual([502, "heddle"]);
});

test("a listener for one service can be for one of its ports, whatever requests say", async () => {
  const [tcp, http] = web.sidecar.upstreamAddresses;
  const socket = connect({ host: "127.0.0.1", port: tcp?.port ?? 0 });
  const heard = new Promise<string>((resolve) => socket.once("data", (data) => resolve(data.toString())));
  expect(await heard).toBe("database");
  socket.destroy();
  const response = await call("anything:8080", {}, `http://127.0.0.1:${http?.port}`);
  const seen = (await response.json()) as Seen;
  expect(seen.instance).toBe("second");
  // What the two sidecars said to each other about the port is theirs.
  expect(seen.headers.map((name) => name.toLowerCase())).not.toContain("x-heddle-port");
});

test("rules are for ports, which a caller cannot claim", async () => {
  expect((await call("catalog", { method: "POST" })).status).toBe(200);
  const denied = await call("catalog:9090", { method: "POST" });
  expect(denied.status).toBe(403);
  expect(await denied.text()).toContain("--ports 9090");
  const claimed = await call("catalog:9090", { method: "POST", headers: { "x-heddle-port": "8080" } });
  expect(claimed.status).toBe(403);
});

test("CONNECT reaches a tcp port by its number", async () => {
  const client = await RawClient.connect(web.sidecar.outboundAddress.port);
  client.send("CONNECT catalog.shop:5432 HTTP/1.1\r\nhost: catalog.shop:5432\r\n\r\n");
  expect(await client.until("database")).toStartWith("HTTP/1.1 200 ");
  client.close();
});

test("a connection that names no port means the first one for connections", async () => {
  const client = await RawClient.connect(web.sidecar.outboundAddress.port);
  client.send("CONNECT catalog.shop HTTP/1.1\r\nhost: catalog.shop\r\n\r\n");
  const answer = await client.until(/\r\n\r\n/);
  client.close();
  // RFC 9110 §9.3.6: CONNECT must name one; TLS by its server name cannot.
  expect(answer).toStartWith("HTTP/1.1 400 ");
  const hello = record(helloMessage([serverName(nameEntry("catalog.shop"))]));
  const tls = connect({ host: "127.0.0.1", port: web.sidecar.outboundTlsAddress?.port ?? 0 });
  const heard = new Promise<string>((resolve) => tls.once("data", (data) => resolve(data.toString())));
  tls.write(hello);
  expect(await heard).toBe("database");
  tls.destroy();
});

test("access log and metrics name the port", async () => {
  await ask("catalog:9090");
  for (const [sidecar, cluster] of [
    [web, "outbound|9090||catalog.shop.mesh.local"],
    [catalog, "inbound|9090||"],
  ] as const) {
    await eventually(async () => {
      const lines = (await readFile(sidecar.accessLogFile, "utf8")).trimEnd().split("\n");
      const clusters = lines.map((line) => (JSON.parse(line) as { upstream_cluster: string }).upstream_cluster);
      expect(clusters).toContain(cluster);
    });
    const metrics = await (await fetch(`${sidecar.admin}/metrics`)).text();
    expect(metrics).toMatch(/^istio_requests_total\{[^}]*destination_port="9090"[^}]*response_code="200"/m);
    expect(metrics).toMatch(/^istio_tcp_connections_opened_total\{[^}]*destination_port="5432"/m);
  }
});
