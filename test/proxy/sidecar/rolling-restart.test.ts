/** Restarts of everything that is called, one instance after the other and under load: nobody notices. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type NodeChild, startNode } from "../../clients/node-child.ts";
import { clustersOf } from "../../support/calling-web.ts";
import { eventually, TestMesh } from "../../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../../support/node-app.ts";
import { openToWeb, serviceDocument } from "../../support/policy.ts";
import { type SidecarProcess, startSidecarProcess } from "../../support/sidecar-process.ts";
import type { TestSidecar } from "../../support/sidecars.ts";
import { startTraffic } from "../../support/traffic.ts";

const POLICY =
  serviceDocument("web", "http") +
  serviceDocument("catalog", "http") +
  serviceDocument("ratings", "grpc") +
  openToWeb("catalog") +
  openToWeb("ratings");

/** What a mesh can hide, but only if it is told that trying again is all right. */
const RETRIES = `apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules: [{ retries: { attempts: 2, on: [gateway-error], budget: { percent: 100, minPerSecond: 1000 } } }]
`;

/** An application and its sidecar. */
interface Instance {
  readonly app: NodeApp | NodeChild;
  readonly sidecar: SidecarProcess;
}

let mesh: TestMesh;
let web: TestSidecar;
let grpc: NodeChild;
const instances = new Map<string, Instance>();
beforeAll(async () => {
  mesh = await TestMesh.start();
  await mesh.apply(POLICY);
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1 });
  await Promise.all(["catalog-1", "catalog-2", "ratings-1", "ratings-2"].map((name) => start(name)));
  grpc = await startNode("grpc-client.mjs", String(web.sidecar.outboundAddress.port), "ratings");
  await mesh.converged();
  await known();
});
afterAll(async () => {
  for (const { app, sidecar } of instances.values()) {
    sidecar.child.kill("SIGKILL");
    await app.kill();
  }
  await grpc.kill();
  await mesh.stop();
}, 60_000);

async function start(name: string, more: readonly string[] = []): Promise<void> {
  const service = name.replace(/-\d+$/, "");
  const app = service === "catalog" ? await startNodeApp(name) : await startNode("grpc-server.mjs");
  const port = "port" in app ? app.port : Number(app.greeting);
  const state = join(mesh.nats.directory.path, name);
  const options = ["--instance", name, "--state-dir", state, "--app-health", "tcp", ...more];
  instances.set(name, { app, sidecar: await startSidecarProcess(mesh, `shop/${service}`, port, [], options) });
}

/** Web knows two instances of either service. */
async function known(): Promise<void> {
  await eventually(async () => {
    const clusters = await clustersOf(web);
    const names = clusters.flatMap(({ endpoints }) => endpoints.map(({ instance }) => instance)).sort();
    expect(names).toEqual([...instances.keys()].sort());
  }, 30_000);
}

/** First the sidecar, which takes leave of its callers, then the application, which nobody calls any more. */
async function restart(name: string): Promise<void> {
  const before = instances.get(name);
  if (before === undefined) throw new Error(`there is no ${name}`);
  before.sidecar.child.kill("SIGTERM");
  expect(await before.sidecar.child.exited).toBe(0);
  await before.app.kill();
  await start(name);
}

const call = (): Promise<Response> => fetch(`${web.outbound}/`, { headers: { host: "catalog" } });
const post = (): Promise<Response> =>
  fetch(`${web.outbound}/echo`, { method: "POST", body: "x".repeat(1_000), headers: { host: "catalog" } });
/** Two gRPC calls, as a response that `startTraffic` understands. */
const callGrpc = async (): Promise<Response> => {
  const codes = JSON.stringify(await grpc.ask({ kind: "many", count: 2, size: 10 }));
  return new Response(codes, { status: codes === '{"0":2}' ? 200 : 500 });
};

test("applications with their sidecars, HTTP/1.1 and gRPC, without any retries", async () => {
  const loads = [startTraffic(call, 4), startTraffic(post, 2), startTraffic(callGrpc, 2)];
  for (const number of [1, 2]) {
    const before = loads.map(({ answered }) => answered);
    await Promise.all([restart(`catalog-${number}`), restart(`ratings-${number}`)]);
    await known();
    // Calls went on all the while, and go on.
    await eventually(() => {
      for (const [index, { answered }] of loads.entries()) expect(answered).toBeGreaterThan((before[index] ?? 0) + 10);
    });
  }
  for (const load of loads) expect(await load.stop()).toEqual([]);
}, 60_000);

test("an application alone, whose sidecar stays and is not told: retries hide it", async () => {
  await mesh.apply(RETRIES);
  await eventually(async () => {
    const dump = (await (await fetch(`${web.admin}/config_dump`)).json()) as { snapshot: { revision: number } };
    expect(dump.snapshot.revision).toBe(mesh.ledger.state.revision);
  });
  const traffic = startTraffic(call, 6);
  const instance = instances.get("catalog-1");
  if (instance === undefined || !("port" in instance.app)) throw new Error("there is no catalog-1");
  const { port } = instance.app;
  await instance.app.stop();
  const during = traffic.answered;
  await eventually(() => expect(traffic.answered).toBeGreaterThan(during + 200));
  const app = await startNodeApp("catalog-1", port);
  instances.set("catalog-1", { ...instance, app });
  // It takes its share again, once its sidecar has found it well.
  await eventually(async () => {
    const { instance: answering } = (await (await call()).json()) as { instance: string };
    expect(answering).toBe("catalog-1");
  }, 30_000);
  expect(await traffic.stop()).toEqual([]);
}, 60_000);
