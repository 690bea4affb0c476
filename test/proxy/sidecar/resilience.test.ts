/** What policy says of retries, breakers, outliers, distance and failover, over real sidecars. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { clustersOf } from "../../support/calling-web.ts";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: heddle/v1\nkind: ${kind}\nmetadata: { namespace: shop, name: ${name} }\nspec: ${spec}\n---\n`;
const service = (name: string, rest = ""): string =>
  document("Service", name, `{ ports: [{ port: 8080, protocol: http }]${rest} }`);
const allow = (name: string): string =>
  document("AccessPolicy", name, `{ service: ${name}, rules: [{ allow: { from: [shop/web] } }] }`);
const route = (name: string, rule: string): string =>
  document("Route", name, `{ service: ${name}, rules: [{ ${rule} }] }`);

/** The numbers that people try first. */
const BREAKER =
  ", loadBalancer: { algorithm: round-robin }, outlierDetection: { consecutive5xx: 5, baseEjectionTime: 30s, maxEjectionPercent: 50 }";
const RETRIES = "timeout: 5s, retries: { attempts: 3, perTryTimeout: 1s, on: [5xx, connect-failure] }";
const RETRIED = 'heddle_retries_total{upstream="shop/retried"}';
const NARROW = ", connectionPool: { maxRetries: 1, maxRequestsPerConnection: 3 }";
const POLICY =
  ["retried", "ejected", "narrow", "backup", "near", "primary"].map(allow).join("") +
  service("web") +
  service("retried") +
  route("retried", RETRIES) +
  service("ejected", BREAKER) +
  service("narrow", NARROW) +
  route("narrow", "retries: { attempts: 1, on: [5xx], budget: { percent: 100, minPerSecond: 1000 } }") +
  service("near") +
  service("backup") +
  service("primary", ", loadBalancer: { failover: backup }");

let mesh: TestMesh;
let web: TestSidecar;
const apps: Bun.Server<undefined>[] = [];
/** What was asked of whom, in order. */
let calls: { app: string; path: string; headers: Headers }[] = [];
/** By application: what it answers; 200 by default. */
const status = new Map<string, number>();
let hold: Promise<void> | undefined;

function app(name: string): number {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      calls.push({ app: name, path: pathname, headers: request.headers });
      if (pathname === "/hold") await hold;
      return new Response(name, { status: status.get(name) ?? 200 });
    },
  });
  apps.push(server);
  return server.port ?? 0;
}

function call(host: string, path = "/"): Promise<Response> {
  return fetch(`${web.outbound}${path}`, { headers: { host } });
}

async function answerOf(host: string): Promise<string> {
  return (await call(host)).text();
}

async function metric(name: string): Promise<number | undefined> {
  const page = await (await fetch(`${web.admin}/metrics`)).text();
  const line = page.split("\n").find((text) => text.startsWith(name));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(" ")));
}

const place = (zone: string): Record<string, string> => ({
  "topology.kubernetes.io/region": "eu",
  "topology.kubernetes.io/zone": zone,
});

let primary: TestSidecar;
let near: TestSidecar;

beforeAll(async () => {
  mesh = await TestMesh.start();
  await mesh.apply(POLICY);
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1, labels: place("a") });
  for (const name of ["retried", "narrow", "backup"]) {
    await mesh.startSidecar({ service: `shop/${name}`, appPort: app(name) });
  }
  primary = await mesh.startSidecar({ service: "shop/primary", appPort: app("primary") });
  near = await mesh.startSidecar({ service: "shop/near", appPort: app("here"), labels: place("a") });
  await mesh.startSidecar({ service: "shop/near", appPort: app("there"), labels: place("b") });
  for (const name of ["good", "bad"]) await mesh.startSidecar({ service: "shop/ejected", appPort: app(name) });
  await mesh.converged();
  const endpoints = { retried: 1, narrow: 1, backup: 1, primary: 1, near: 2, ejected: 2 };
  await eventually(async () => {
    const clusters = await clustersOf(web);
    const known = Object.fromEntries(clusters.map((cluster) => [cluster.service.slice(5), cluster.endpoints.length]));
    expect(known).toEqual(endpoints);
    for (const name of Object.keys(endpoints)) expect((await call(name)).status).toBe(200);
  });
});

beforeEach(() => {
  calls = [];
  status.clear();
});

afterAll(async () => {
  await mesh.stop();
  for (const server of apps) await server.stop(true);
});

test("three retries on 5xx, each marked, and the last answer goes to the caller", async () => {
  status.set("retried", 500);
  const before = (await metric(RETRIED)) ?? 0;
  const response = await call("retried");
  expect(response.status).toBe(500);
  expect(calls.map(({ headers }) => headers.get("x-envoy-attempt-count") ?? "1")).toEqual(["1", "2", "3", "4"]);
  for (const { headers } of calls) {
    const leftMs = Number(headers.get("x-envoy-expected-rq-timeout-ms"));
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(1_000);
  }
  expect(await metric(RETRIED)).toBe(before + 3);
});

describe("an instance that fails five times in a row", () => {
  const cluster = async () => {
    const clusters = await clustersOf(web);
    return clusters.find((one) => one.service === "shop/ejected")?.endpoints ?? [];
  };

  test("is left out, and what it was left out for is to be seen", async () => {
    status.set("bad", 503);
    await eventually(async () => {
      await call("ejected");
      expect((await cluster()).filter(({ ejected }) => ejected)).toHaveLength(1);
    });
    expect(calls.filter(({ app: name }) => name === "bad")).toHaveLength(5);
    expect((await cluster()).flatMap(({ avoided = [] }) => avoided)).toEqual(["consecutive_5xx"]);
    calls = [];
    for (let n = 0; n < 20; n++) expect(await answerOf("ejected")).toBe("good");
    const labels = '{upstream="shop/ejected",reason="consecutive_5xx"}';
    expect(await metric(`heddle_outlier_ejections_total${labels}`)).toBe(1);
    expect(await metric('heddle_outlier_ejections_active{upstream="shop/ejected"}')).toBe(1);
    // Its next word to control says so as well.
    await eventually(() => {
      const [status] = mesh.endpoints.registry.statusesOf("shop/web");
      expect(status?.avoided).toEqual([
        expect.objectContaining({ service: "shop/ejected", reason: "consecutive_5xx" }),
      ]);
    });
  });

  test("stays out when another snapshot comes, and connections stay open", async () => {
    const retried = await metric(RETRIED);
    const opened = await metric('heddle_upstream_connections_active{upstream="shop/ejected"}');
    await mesh.apply(service("other") + allow("other"));
    await eventually(async () => {
      const dump = (await (await fetch(`${web.admin}/config_dump`)).json()) as { snapshot: { upstreams: object } };
      expect(Object.keys(dump.snapshot.upstreams)).toContain("shop/other");
    });
    for (let n = 0; n < 20; n++) expect(await answerOf("ejected")).toBe("good");
    expect(calls.map(({ app: name }) => name)).not.toContain("bad");
    expect(await metric('heddle_upstream_connections_active{upstream="shop/ejected"}')).toBe(opened as number);
    expect(await metric('heddle_outlier_ejections_total{upstream="shop/ejected",reason="consecutive_5xx"}')).toBe(1);
    expect(await metric(RETRIED)).toBe(retried);
  });
});

test("no more retries are under way than policy allows, and the answer goes through at once", async () => {
  const gate = Promise.withResolvers<void>();
  hold = gate.promise;
  status.set("narrow", 503);
  const first = call("narrow", "/hold");
  await eventually(() => expect(calls).toHaveLength(1));
  gate.resolve();
  // Its retry is held up in turn.
  const second = Promise.withResolvers<void>();
  hold = second.promise;
  await eventually(() => expect(calls).toHaveLength(2));
  expect((await call("narrow")).status).toBe(503);
  expect(calls).toHaveLength(3);
  expect(await metric('heddle_upstream_overflow_total{upstream="shop/narrow",bound="maxRetries"}')).toBe(1);
  second.resolve();
  expect((await first).status).toBe(503);
  expect(calls).toHaveLength(3);
});

test("the own zone is called, and another one when it has nobody left", async () => {
  for (let n = 0; n < 20; n++) expect(await answerOf("near")).toBe("here");
  await near.crash();
  const answers: string[] = [];
  await eventually(async () => {
    answers.push(await answerOf("near"));
    expect(answers.slice(-5)).toEqual(Array.from({ length: 5 }, () => "there"));
  });
});

test("calls of a service without an instance that is well go to the one that stands in", async () => {
  expect(await answerOf("primary")).toBe("primary");
  await primary.stop();
  await eventually(async () => expect(await answerOf("primary")).toBe("backup"));
  for (let n = 0; n < 10; n++) expect(await answerOf("primary")).toBe("backup");
});
