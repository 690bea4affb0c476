/** A sidecar of several processes, through the command line: to everybody else it is one. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { readTraffic, trafficExtent } from "../../../src/nats/traffic-stream.ts";
import { decodeTrafficSummary } from "../../../src/telemetry/traffic-summary.ts";
import { eventually } from "../../support/mesh.ts";
import { type SidecarProcess, startSidecarProcess } from "../../support/sidecar-process.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
let web: SidecarProcess;
let catalog: SidecarProcess | undefined;
beforeAll(async () => {
  hops = await TwoHops.start();
  web = await startSidecarProcess(hops.mesh, "shop/web", 1, [], ["--workers", "2", "--traffic-interval", "1s"]);
});
afterAll(async () => {
  for (const sidecar of [web, catalog]) sidecar?.child.kill("SIGKILL");
  await hops.stop();
}, 60_000);

const call = (path: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${web.outboundPort}${path}`, { headers: { host: "catalog" }, keepalive: false });
const admin = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${web.adminPort}${path}`)).text();

/** Processes whose parent is the sidecar. */
async function workers(): Promise<number[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(
    ids.map(async (id) => /\) \S (\d+) /.exec(await readFile(`/proc/${id}/stat`, "utf8").catch(() => ""))?.[1]),
  );
  return ids.filter((_, index) => Number(parents[index]) === web.child.pid);
}

/** Calls that the sidecar says it has counted, with 200. */
async function counted(): Promise<number> {
  const lines = (await admin("/metrics")).split("\n").filter((line) => /^istio_requests_total\{.*"200"/.test(line));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

test("every worker carries calls, and one page counts them all", async () => {
  await eventually(async () => expect((await call("/")).status).toBe(200));
  const before = await counted();
  for (let calls = 0; calls < 40; calls++) expect((await call("/")).status).toBe(200);
  expect(await counted()).toBe(before + 40);
  expect(await workers()).toHaveLength(2);
  // Of the histogram as well, and once only.
  const metrics = await admin("/metrics");
  expect(metrics.match(/^# TYPE istio_request_duration_milliseconds histogram$/gm)).toHaveLength(1);
  expect(metrics).toMatch(/^heddle_upstream_connections_active\{upstream="shop\/catalog"\} [1-9]/m);
});

test("it is one instance to the mesh, with the revision that all of its workers enforce", async () => {
  const dump = JSON.parse(await admin("/config_dump")) as { status: { state: string; revision: number } };
  expect(dump.status.state).toBe("ready");
  const revision = await hops.mesh.apply(`
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec: { service: catalog, rules: [{ match: [{ path: { exact: /only } }, { path: { exact: /slow } }] }] }
`);
  await eventually(async () => {
    const { status } = JSON.parse(await admin("/config_dump")) as typeof dump;
    expect(status.revision).toBe(revision);
  });
  // It enforces what it says, whichever worker is asked.
  for (let calls = 0; calls < 10; calls++) expect((await call("/other")).status).toBe(404);
  for (let calls = 0; calls < 10; calls++) expect((await call("/only")).status).toBe(200);
});

test("what its workers saw of calls is reported to the traffic ledger, each call once", async () => {
  await eventually(async () => {
    const calls = [];
    const extent = (await trafficExtent(hops.mesh.control)) ?? { from: 1, to: 0 };
    for await (const { data } of readTraffic(hops.mesh.control, extent)) {
      calls.push(...(decodeTrafficSummary(data)?.calls ?? []));
    }
    const unrouted = calls.filter(({ path, decision }) => path === "/other" && decision === "unrouted");
    expect(unrouted.reduce((sum, { count }) => sum + count, 0)).toBe(10);
    expect(unrouted[0]).toMatchObject({ source: "shop/web", destination: "shop/catalog" });
  });
});

test("a worker that dies is started again, and nothing that it had counted is lost", async () => {
  const before = await counted();
  const [one, other] = await workers();
  if (one === undefined || other === undefined) throw new Error("there should be two workers");
  process.kill(one, "SIGKILL");
  await eventually(async () => {
    const now = await workers();
    expect(now).toHaveLength(2);
    expect(now).not.toContain(one);
    expect(now).toContain(other);
    for (let calls = 0; calls < 10; calls++) expect((await call("/only")).status).toBe(200);
  });
  expect(await counted()).toBeGreaterThanOrEqual(before + 10);
}, 30_000);

test("a rate limit is the instance's, however its connections are spread", async () => {
  catalog = await startSidecarProcess(hops.mesh, "shop/catalog", hops.app.port, [], ["--workers", "2"]);
  await hops.reaches(2);
  await hops.catalog.stop();
  await hops.reaches(1);
  const revision = await hops.mesh.apply(`
apiVersion: heddle/v1
kind: RateLimit
metadata: { namespace: shop, name: catalog }
spec: { service: catalog, rules: [{ requests: 40, per: 1h }] }
`);
  await eventually(async () => {
    const dump = await (await fetch(`http://127.0.0.1:${catalog?.adminPort}/config_dump`)).json();
    expect((dump as { status: { revision: number } }).status.revision).toBe(revision);
  });
  // Both callers, whose connections reach both workers, until neither gets anything any more.
  let taken = 0;
  let refused = 0;
  for (let calls = 0; calls < 400 && refused < 30; calls++) {
    const { status } = await (calls % 2 === 0 ? call("/only") : hops.call("/only"));
    if (status === 200) taken++;
    refused = status === 429 ? refused + 1 : 0;
    await Bun.sleep(2);
  }
  // What a worker spends on credit before it knows better is a tenth, and is paid back.
  expect(taken).toBeGreaterThanOrEqual(36);
  expect(taken).toBeLessThanOrEqual(44);
  await hops.mesh.command("shop", { kind: "delete", keys: ["RateLimit/shop/catalog"] });
  await eventually(async () => expect((await call("/only")).status).toBe(200));
}, 60_000);

test("asked to leave, every worker finishes what it carries", async () => {
  const ids = await workers();
  const slow = Array.from({ length: 8 }, () => call("/slow?ms=1500"));
  await Bun.sleep(100);
  web.child.kill("SIGTERM");
  expect(await Promise.all(slow.map(async (response) => (await response).status))).toEqual(slow.map(() => 200));
  expect(await web.child.exited).toBe(0);
  for (const id of ids) expect(() => process.kill(id, 0)).toThrow();
}, 30_000);

test("a killed sidecar takes its workers with it", async () => {
  web = await startSidecarProcess(hops.mesh, "shop/web", 1, [], ["--workers", "2"]);
  const ids = await workers();
  expect(ids).toHaveLength(2);
  web.child.kill("SIGKILL");
  await eventually(() => {
    for (const id of ids) expect(() => process.kill(id, 0)).toThrow();
  });
}, 30_000);

test("ports that another sidecar has are not shared with it", async () => {
  const inUse = `127.0.0.1:${hops.outboundPort}`;
  const starting = startSidecarProcess(hops.mesh, "shop/web", 1, [], ["--workers", "2", "--outbound", inUse]);
  await expect(starting).rejects.toThrow(`cannot listen on ${inUse}: another process does already`);
});
