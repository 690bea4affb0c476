/** What the README of the example promises. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually, TestMesh, type TestSidecar } from "../support/mesh.ts";

const POLICY = join(import.meta.dir, "../../examples/resilience/policy.yaml");

let mesh: TestMesh;
let web: TestSidecar;
const apps: Bun.Server<undefined>[] = [];

function app(status: number): number {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("", { status }) });
  apps.push(server);
  return server.port ?? 0;
}

function call(path = "/"): Promise<Response> {
  return fetch(`${web.outbound}${path}`, { headers: { host: "catalog" } });
}

beforeAll(async () => {
  mesh = await TestMesh.start();
  await mesh.apply(await Bun.file(POLICY).text());
  web = await mesh.startSidecar({ service: "resilience/web", appPort: 1 });
  for (const status of [200, 503]) await mesh.startSidecar({ service: "resilience/catalog", appPort: app(status) });
  await mesh.converged();
});

afterAll(async () => {
  await mesh.stop();
  for (const server of apps) await server.stop(true);
});

test("retries hide the instance that fails, until it is ejected", async () => {
  await eventually(async () => {
    expect((await call()).status).toBe(200);
    const clusters = await (await fetch(`${web.admin}/clusters`)).text();
    expect(clusters).toContain('"avoided":"consecutive_5xx"');
  });
  for (let n = 0; n < 20; n++) expect((await call()).status).toBe(200);
});

test("calls beyond the rate and its burst are told when to come back", async () => {
  expect(await Promise.all(Array.from({ length: 15 }, async () => (await call("/search")).status))).not.toContain(429);
  // Each second brings ten more: a slow machine needs more than one round.
  await eventually(async () => {
    const responses = await Promise.all(Array.from({ length: 30 }, () => call("/search")));
    const refused = responses.find(({ status }) => status === 429);
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(0);
  });
});
