/**
 * A change of policy resets nothing of what it does not change: counters, circuit breakers, buckets, connections and
 * ejections, in a sidecar of one process and of several. What changes is another rule of the same service.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { Fleet } from "../../support/fleet.ts";
import { eventually } from "../../support/mesh.ts";
import { type SidecarProcess, startSidecarProcess } from "../../support/sidecar-process.ts";

const SPEC =
  "loadBalancer: { algorithm: round-robin }, connectionPool: { maxRequests: 2 }, outlierDetection: { consecutive5xx: 2, interval: 1h, baseEjectionTime: 1h, maxEjectionPercent: 50 },";
const BEFORE = "{ match: [{ path: { prefix: /other } }], timeout: 1s }, ";
const RULE = "{ timeout: 30s }";
const limit = (path: string, requests: number, more = ""): string =>
  `{ match: [{ path: { prefix: ${path} } }], requests: ${requests}, per: 1h${more} }`;

let fleet: Fleet;
let several: SidecarProcess;
let metered: SidecarProcess;
beforeAll(async () => {
  fleet = await Fleet.start({
    catalog: { spec: SPEC, rules: RULE, limits: limit("/limited", 3) },
    metered: { limits: limit("/", 20) },
    shared: { limits: limit("/shared", 40, ", scope: mesh") },
  });
  fleet.behaviour.set("bad", () => new Response("", { status: 500 }));
  await fleet.add("catalog", { good: {}, bad: {} });
  await fleet.add("shared", { "shared-1": {} });
  const workers = ["--workers", "2"];
  several = await startSidecarProcess(fleet.mesh, "shop/web", 1, [], workers);
  metered = await startSidecarProcess(fleet.mesh, "shop/metered", fleet.application("metered"), [], workers);
}, 60_000);
afterAll(async () => {
  for (const process of [several, metered]) process?.child.kill("SIGKILL");
  await fleet.stop();
});

async function status(path: string, host = "catalog"): Promise<number> {
  const response = await fleet.call(host, path);
  await response.text();
  return response.status;
}

/** Over a connection of its own, so that each worker gets some. */
async function ofSeveral(host: string, path = "/"): Promise<number> {
  const url = `http://127.0.0.1:${several.outboundPort}${path}`;
  const response = await fetch(url, { headers: { host }, keepalive: false });
  await response.text();
  return response.status;
}

async function revisionOf(adminPort: number): Promise<number> {
  const dump = await (await fetch(`http://127.0.0.1:${adminPort}/config_dump`)).json();
  return (dump as { status: { revision: number } }).status.revision;
}

/** Where the calls that an instance answered came from: a port for each connection. */
async function connectionsTo(instance: string): Promise<Set<string>> {
  const answered = fleet.arrivals.filter((arrival) => arrival.instance === instance).length;
  const lines = await eventually(async () => {
    const written = (await readFile(fleet.sidecar(instance).accessLogFile, "utf8")).trim().split("\n");
    expect(written.length).toBeGreaterThanOrEqual(answered);
    return written;
  });
  return new Set(lines.map((line) => (JSON.parse(line) as Record<string, string>).downstream_remote_address ?? ""));
}

test("ejections, connections, counters, the circuit breaker and buckets stay, whatever comes before their rule", async () => {
  await eventually(async () => {
    await status("/");
    expect(await fleet.avoided("catalog")).toEqual({ bad: "consecutive_5xx" });
  });
  for (let calls = 0; calls < 3; calls++) expect(await status("/limited")).toBe(200);
  expect(await status("/limited")).toBe(429);
  const connections = await connectionsTo("good");
  const held = Promise.withResolvers<void>();
  fleet.behaviour.set("good", async () => {
    await held.promise;
    return new Response("held");
  });
  const arrived = fleet.arrivals.length;
  const holding = [status("/"), status("/")];
  await eventually(() => expect(fleet.arrivals).toHaveLength(arrived + 2));
  expect(await status("/")).toBe(503);
  const overflows = (): Promise<number> => fleet.metric('heddle_upstream_overflow_total{upstream="shop/catalog"');
  const requests = (): Promise<number> => fleet.metric('istio_requests_total{reporter="source"');
  const counted = [await overflows(), await requests()];
  expect(Math.min(...counted)).toBeGreaterThan(0);
  const services = { spec: SPEC, rules: BEFORE + RULE, limits: `${limit("/other", 7)}, ${limit("/limited", 3)}` };
  const revision = await fleet.declare("catalog", services);
  for (const { admin } of [fleet.web, fleet.sidecar("good")]) {
    await eventually(async () => expect(await revisionOf(portOf(admin))).toBe(revision));
  }
  expect(await fleet.avoided("catalog")).toEqual({ bad: "consecutive_5xx" });
  expect(await status("/")).toBe(503);
  expect(await overflows()).toBe((counted[0] ?? 0) + 1);
  expect(await requests()).toBeGreaterThanOrEqual(counted[1] ?? 0);
  fleet.behaviour.delete("good");
  held.resolve();
  expect(await Promise.all(holding)).toEqual([200, 200]);
  for (let calls = 0; calls < 10; calls++) expect(await status("/")).toBe(200);
  expect(await status("/limited")).toBe(429);
  expect(await connectionsTo("good")).toEqual(connections);
});

test("the same of several workers", async () => {
  await eventually(async () => {
    for (let calls = 0; calls < 40; calls++) expect(await ofSeveral("catalog")).toBe(200);
  });
  const connections = await connectionsTo("good");
  const services = { spec: SPEC, rules: `${BEFORE}${BEFORE}${RULE}`, limits: limit("/limited", 3) };
  const revision = await fleet.declare("catalog", services);
  await eventually(async () => expect(await revisionOf(several.adminPort)).toBe(revision));
  for (let calls = 0; calls < 40; calls++) expect(await ofSeveral("catalog")).toBe(200);
  expect(await connectionsTo("good")).toEqual(connections);
});

test("what several workers share of a limit is not filled again", async () => {
  let refused = 0;
  await eventually(async () => expect(await status("/", "metered")).toBe(200));
  for (let calls = 0; calls < 400 && refused < 30; calls++) {
    refused = (await ofSeveral("metered")) === 429 ? refused + 1 : 0;
  }
  expect(refused).toBe(30);
  const revision = await fleet.declare("metered", { limits: `${limit("/other", 9)}, ${limit("/", 20)}` });
  await eventually(async () => expect(await revisionOf(metered.adminPort)).toBe(revision));
  for (let calls = 0; calls < 40; calls++) expect(await ofSeveral("metered")).toBe(429);
});

test("nor what the whole mesh shares, and nobody draws on the rule that is put before it", async () => {
  let through = 0;
  const pass = async (calls: number): Promise<void> => {
    for (let n = 0; n < calls; n++) if ((await status("/shared", "shared")) === 200) through++;
  };
  await pass(5);
  const before = limit("/other", 1_000, ", scope: mesh");
  const revision = await fleet.declare("shared", { limits: `${before}, ${limit("/shared", 40, ", scope: mesh")}` });
  await eventually(async () => expect(await revisionOf(portOf(fleet.sidecar("shared-1").admin))).toBe(revision));
  await eventually(async () => {
    await pass(10);
    expect(through).toBeGreaterThanOrEqual(40);
  });
  await pass(60);
  // A tenth may be spent on credit before the answer comes that nothing is left.
  expect(through).toBeLessThanOrEqual(44);
  // To an instance that has yet to ask for its first tokens, nothing is left either.
  await fleet.add("shared", { "shared-2": {} });
  await pass(60);
  expect(through).toBeLessThanOrEqual(48);
}, 30_000);

function portOf(url: string): number {
  return Number(new URL(url).port);
}
