/** What was recorded of real calls by real sidecars, asked by the real command line, and borne out by what follows. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applying, type ControlMesh, send, service, startMesh } from "../control/mesh.ts";
import { eventually } from "../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../support/node-app.ts";
import { startTestSidecar, type TestSidecar } from "../support/sidecars.ts";
import { CommandLine, type Outcome } from "./cli-mesh.ts";

const POLICY = `${service("web")}---
${service("job")}---
${service("catalog")}---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - allow: { from: [shop/web] }
`;

/** Lets fewer calls through than there are: no POST of web's. */
const TIGHTER = `apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - allow: { from: [shop/web], methods: [GET] }
    - allow: { from: [shop/job], paths: [/items/*] }
`;

interface FlipJson {
  readonly kind: string;
  readonly source: string;
  readonly method: string;
  readonly path: string;
  readonly calls: number;
}

let mesh: ControlMesh;
let application: NodeApp;
let directory: string;
let cli: CommandLine;
const sidecars: Record<string, TestSidecar> = {};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "heddle-traffic-"));
  [mesh, application] = await Promise.all([startMesh(), startNodeApp()]);
  await mesh.startReplica();
  expect((await send(mesh.ada, applying(POLICY))).kind).toBe("decided");
  for (const [index, name] of ["web", "job", "catalog"].entries()) {
    const spec = { service: `shop/${name}`, appPort: application.port, trafficIntervalMs: 100 };
    sidecars[name] = await startTestSidecar(mesh.nats, spec, index);
  }
  cli = new CommandLine(mesh.nats.directory.path);
  await eventually(async () => expect(await call("web", "GET", "/items/1")).toBe(200), 30_000);
});

afterAll(async () => {
  for (const sidecar of Object.values(sidecars)) await sidecar.stop();
  await mesh.stop();
  await application.kill();
  await rm(directory, { recursive: true, force: true });
});

async function call(from: string, method: string, path: string): Promise<number> {
  const response = await fetch(`${sidecars[from]?.outbound}${path}`, { method, headers: { host: "catalog.shop" } });
  await response.arrayBuffer();
  return response.status;
}

function heddle(...args: string[]): Promise<Outcome> {
  return cli.heddle([...args, "--nats-url", mesh.nats.url, "--dir", mesh.nats.directory.path]);
}

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

async function flipsOf(path: string): Promise<readonly FlipJson[]> {
  const { code, stdout, stderr } = await heddle("what-if", "-f", path, "-o", "json");
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout).flips;
}

async function edges(): Promise<readonly { readonly name: string; readonly calls: number }[]> {
  const { stdout } = await heddle("top", "--edges", "--once", "--window", "1h", "-o", "json");
  return JSON.parse(stdout).signals;
}

async function callsOf(edge: string): Promise<number> {
  return (await edges()).find(({ name }) => name === edge)?.calls ?? 0;
}

test("what-if names the calls that other policy would refuse or let through, and so it comes", async () => {
  for (let id = 100; id < 105; id++) expect(await call("web", "GET", `/items/${id}?page=2`)).toBe(200);
  expect(await call("web", "POST", "/orders")).toBe(200);
  expect(await call("job", "GET", "/items/7")).toBe(403);
  const tighter = await file("tighter.yaml", TIGHTER);
  const flips = await eventually(async () => {
    const found = await flipsOf(tighter);
    expect(found.length).toBe(2);
    return found;
  }, 30_000);
  expect(flips).toMatchObject([
    { kind: "denied", source: "shop/web", method: "POST", path: "/orders", calls: 1 },
    { kind: "allowed", source: "shop/job", method: "GET", path: "/items/{}", calls: 1 },
  ]);

  const failing = await heddle("what-if", "-f", tighter, "--fail-on-deny");
  expect(failing.code).toBe(1);
  expect(failing.stdout).toContain("shop/web → shop/catalog POST /orders");
  expect((await heddle("what-if", "-f", await file("same.yaml", POLICY), "--fail-on-deny")).code).toBe(0);

  expect((await send(mesh.ada, applying(TIGHTER))).kind).toBe("decided");
  await eventually(async () => expect(await call("web", "POST", "/orders")).toBe(403), 30_000);
  await eventually(async () => expect(await call("job", "GET", "/items/7")).toBe(200), 30_000);
  expect(await call("web", "GET", "/items/100")).toBe(200);
  const back = await heddle("revert", "head", "--dry-run");
  expect(back.stdout).toMatch(/of \d+ live calls of the last hour, \d+ would be refused, \d+ would be let through/);
  expect(back.stdout).toMatch(/denied +\d+ +shop\/job → shop\/catalog GET \/items\/\{\}/);
}, 90_000);

test("impact shows what a change did, log flags it, and top what there is now", async () => {
  for (let n = 0; n < 40; n++) expect(await call("web", "GET", "/stock")).toBe(200);
  // A report is counted to the side of the middle of its interval: those of before have to be there before the change is.
  await eventually(async () => expect(await callsOf("shop/web → shop/catalog")).toBeGreaterThanOrEqual(40), 30_000);
  const closed = POLICY.replace("from: [shop/web]", "from: [shop/web], methods: [POST]");
  const reply = await send(mesh.ada, applying(closed));
  if (reply.kind !== "decided" || reply.revision === undefined) throw new Error(JSON.stringify(reply));
  await eventually(async () => expect(await call("web", "GET", "/stock")).toBe(403), 30_000);
  const revision = String(reply.revision);
  await eventually(async () => {
    // The first of these may be counted to the side of before, with the report during which the change came.
    for (let n = 0; n < 20; n++) await call("web", "GET", "/stock");
    const [impact] = JSON.parse((await heddle("impact", revision, "-o", "json")).stdout).services;
    expect(impact).toMatchObject({ service: "shop/catalog", worse: expect.arrayContaining(["refusals"]) });
  }, 30_000);
  const log = await heddle("log", "--impact", "--limit", "1");
  expect(log.stdout).toContain(`! revision ${revision}: refused calls of shop/catalog rose`);
  expect((await edges())[0]?.name).toBe("shop/web → shop/catalog");
  expect((await send(mesh.ada, applying(TIGHTER))).kind).toBe("decided");
  await eventually(async () => expect(await call("web", "GET", "/items/100")).toBe(200), 30_000);
}, 90_000);

test("the policy that is suggested can be applied, and refuses none of the calls that were seen", async () => {
  const { code, stdout, stderr } = await eventually(async () => {
    const outcome = await heddle("suggest", "access", "shop/catalog");
    expect(outcome.stdout).toContain("/orders");
    expect(outcome.stdout).toContain("shop/job");
    return outcome;
  }, 30_000);
  expect(code, stderr).toBe(0);
  const suggested = await file("suggested.yaml", stdout);
  expect(stdout).toContain("/items/{id}");
  expect((await flipsOf(suggested)).filter(({ kind }) => kind === "denied")).toEqual([]);

  expect((await send(mesh.ada, applying(stdout))).kind).toBe("decided");
  await eventually(async () => expect(await call("web", "POST", "/orders")).toBe(200), 30_000);
  expect(await call("web", "GET", "/items/100")).toBe(200);
  expect(await call("web", "DELETE", "/items/100")).toBe(403);
  expect(await call("web", "GET", "/admin")).toBe(403);
}, 90_000);
