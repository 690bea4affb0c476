/**
 * What callers notice of a rolling restart: two instances of an HTTP service and two of a gRPC service, each an
 * application with its sidecar, restarted one after the other under requests at a fixed rate, without any retries. Run it as
 * `npm run bench:restart`, with `-- --rate 1000 --rounds 3` for another rate (requests per second, half of them gRPC) or
 * length. Needs nats-server, node and h2load. Exits with 1 where a single request has failed.
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import { eventually, TestMesh } from "../test/support/mesh.ts";
import { openToWeb, serviceDocument } from "../test/support/policy.ts";
import { type SidecarProcess, startSidecarProcess } from "../test/support/sidecar-process.ts";
import { loadGrpc } from "./load/h2load.ts";
import type { LoadResult } from "./load/load.ts";
import { loadOpenLoop } from "./load/open-loop.ts";
import { freePort } from "./process.ts";

const SERVICES = { catalog: "http", ratings: "grpc" } as const;
type Service = keyof typeof SERVICES;
const INSTANCES = 2;
/** Load comes in slices of this length, so that it can end with the last restart. */
const SLICE_SECONDS = 5;
const CONNECTIONS = 16;

interface Instance {
  readonly service: Service;
  readonly name: string;
  readonly app: Bun.Subprocess;
  readonly sidecar: SidecarProcess;
}

async function startInstance(mesh: TestMesh, service: Service, name: string): Promise<Instance> {
  const port = await freePort();
  const script = service === "catalog" ? [process.execPath, "application.ts"] : ["node", "application-grpc.mjs"];
  const [program = "", file = ""] = script;
  const app = Bun.spawn([program, join(import.meta.dir, file), String(port)], { stdin: "ignore", stdout: "ignore" });
  const options = ["--instance", name, "--state-dir", join(mesh.nats.directory.path, name), "--app-health", "tcp"];
  return { service, name, app, sidecar: await startSidecarProcess(mesh, `shop/${service}`, port, [], options) };
}

/** First the sidecar, which takes leave of its callers, then the application, which nobody calls any more. */
async function end({ app, sidecar }: Instance): Promise<void> {
  sidecar.child.kill("SIGTERM");
  await sidecar.child.exited;
  app.kill("SIGKILL");
  await app.exited;
}

/** The caller's sidecar knows all of these, and no others. */
async function known(caller: SidecarProcess, names: readonly string[]): Promise<void> {
  await eventually(async () => {
    const clusters = (await (await fetch(`http://127.0.0.1:${caller.adminPort}/clusters`)).json()) as {
      endpoints: { instance: string }[];
    }[];
    const found = clusters.flatMap(({ endpoints }) => endpoints.map(({ instance }) => instance));
    if (found.sort().join() !== [...names].sort().join()) throw new Error(`known are ${found.join(", ")}`);
  }, 60_000);
}

/** Requests that the caller's sidecar saw end otherwise than well, by its own count; those aside that a slice gave up at its end. */
async function countedFailures({ adminPort }: SidecarProcess): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const series = page.split("\n").filter((line) => line.startsWith("istio_requests_total{"));
  const isGood = (line: string): boolean =>
    line.includes('response_flags="DC"') ||
    (line.includes('response_code="200"') && /grpc_response_status="0?"/.test(line));
  return series.filter((line) => !isGood(line)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

function total(slices: readonly LoadResult[]): { requests: number; failed: number } {
  const sum = (count: (slice: LoadResult) => number): number => slices.reduce((all, slice) => all + count(slice), 0);
  return { requests: sum(({ requests }) => requests), failed: sum(({ failed }) => failed) };
}

const { values } = parseArgs({
  options: { rate: { type: "string", default: "1000" }, rounds: { type: "string", default: "2" } },
});
const each = Number(values.rate) / 2;

await using ending = new AsyncDisposableStack();
const mesh = await TestMesh.start();
ending.defer(() => mesh.stop());
const documents = Object.entries(SERVICES).map(([name, kind]) => serviceDocument(name, kind) + openToWeb(name));
await mesh.apply(serviceDocument("web", "http") + documents.join(""));
const web = await startSidecarProcess(mesh, "shop/web", 1);
ending.defer(async () => {
  web.child.kill("SIGKILL");
  await web.child.exited;
});
const instances: Instance[] = [];
ending.defer(async () => {
  for (const { app, sidecar } of instances) {
    sidecar.child.kill("SIGKILL");
    app.kill("SIGKILL");
  }
});
for (const service of Object.keys(SERVICES) as Service[]) {
  for (let number = 1; number <= INSTANCES; number++) {
    instances.push(await startInstance(mesh, service, `${service}-${number}`));
  }
}
const names = instances.map(({ name }) => name);
await known(web, names);

let restarting = true;
const load = { port: web.outboundPort, connections: CONNECTIONS, seconds: SLICE_SECONDS, requestsPerSecond: each };
async function slices(run: () => Promise<LoadResult>): Promise<LoadResult[]> {
  const found: LoadResult[] = [];
  while (restarting) found.push(await run());
  return found;
}
const startMs = performance.now();
const loads = [
  slices(() => loadOpenLoop({ ...load, path: "/130" })),
  slices(() => loadGrpc({ ...load, path: "/heddle.Bench/Get", host: "ratings" })),
];
let restarts = 0;
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [at, instance] of instances.entries()) {
    await end(instance);
    instances[at] = await startInstance(mesh, instance.service, instance.name);
    await known(web, names);
    restarts++;
  }
}
restarting = false;
const [http, grpc] = (await Promise.all(loads)).map(total);
const seconds = (performance.now() - startMs) / 1000;
const requests = (http?.requests ?? 0) + (grpc?.requests ?? 0);
const failed = (http?.failed ?? 0) + (grpc?.failed ?? 0);
const counted = await countedFailures(web);
console.log(
  `${restarts} restarts of an application and its sidecar in ${seconds.toFixed(0)} s, under ${(requests / seconds).toFixed(0)} requests a second ` +
    `(${http?.requests} HTTP/1.1, ${grpc?.requests} gRPC): ${failed} failed, ${counted} by the count of the caller's sidecar`,
);
process.exitCode = failed + counted === 0 ? 0 : 1;
