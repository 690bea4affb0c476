import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";

const service = (name: string, rest = ""): string => `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: [{ port: 8080, protocol: http }]${rest} }
---
`;
const allow = (name: string): string => `apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: ${name} }
spec: { service: ${name}, rules: [{ allow: { from: [shop/web] } }] }
---
`;
const CATALOG = `, connectionPool: { maxRequests: 3 }, outlierDetection: { consecutive5xx: 3, baseEjectionTime: 1m, maxEjectionPercent: 50 }`;
const LIMIT = `apiVersion: heddle/v1
kind: RateLimit
metadata: { namespace: shop, name: payment }
spec: { service: payment, rules: [{ match: [{ path: { prefix: /charge } }], requests: 5, per: 1h, burst: 2, by: source }] }
`;

let mesh: TestMesh;
let web: TestSidecar;
const apps: { stop(closeActive: boolean): Promise<void> }[] = [];
/** Names of the instances, by call. */
let answers: string[] = [];
let failing: string | undefined;
let hold: Promise<void> | undefined;

function app(name: string): number {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch() {
      answers.push(name);
      await hold;
      return new Response(name, { status: failing === name ? 500 : 200 });
    },
  });
  apps.push(server);
  return server.port ?? 0;
}

beforeAll(async () => {
  mesh = await TestMesh.start();
  const policy = service("web") + service("payment") + service("catalog", CATALOG);
  await mesh.apply(policy + allow("payment") + allow("catalog") + LIMIT);
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1 });
  await mesh.startSidecar({ service: "shop/payment", appPort: app("payment") });
  await mesh.startSidecar({ service: "shop/catalog", appPort: app("one") });
  await mesh.startSidecar({ service: "shop/catalog", appPort: app("two") });
  await mesh.converged();
  await eventually(async () => {
    const seen = new Set(await Promise.all(Array.from({ length: 20 }, async () => (await call("catalog")).text())));
    if (!seen.has("one") || !seen.has("two")) throw new Error("both instances are needed");
  });
  await eventually(async () => {
    if ((await call("payment")).status !== 200) throw new Error("payment is not there");
  });
});

afterAll(async () => {
  await mesh.stop();
  for (const server of apps) await server.stop(true);
});

function call(host: string, path = "/"): Promise<Response> {
  return fetch(`${web.outbound}${path}`, { headers: { host } });
}

test("a rate limit lets requests and burst through, then answers 429 and says when to come back", async () => {
  const responses = [];
  for (let n = 0; n < 9; n++) responses.push(await call("payment", "/charge"));
  expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200, 200, 429, 429]);
  const refused = responses.at(-1)?.headers;
  expect(Number(refused?.get("retry-after"))).toBeGreaterThan(3500);
  expect([refused?.get("x-ratelimit-limit"), refused?.get("server")]).toEqual(["5", "heddle"]);
  expect((await call("payment", "/other")).status).toBe(200);
});

test("another snapshot does not fill the buckets", async () => {
  await mesh.apply(service("other"));
  const { revision } = mesh.ledger.state;
  await eventually(() => expect(mesh.snapshots.expectedRevision("shop/web")).toBe(revision));
  expect((await call("payment", "/charge")).status).toBe(429);
});

test("requests beyond the circuit breaker are refused at once, and those within are not", async () => {
  const gate = Promise.withResolvers<void>();
  hold = gate.promise;
  answers = [];
  const within = [call("catalog"), call("catalog"), call("catalog")];
  await eventually(() => expect(answers.length).toBe(3));
  const beyond = await call("catalog");
  expect([beyond.status, beyond.headers.get("x-envoy-overloaded")]).toEqual([503, "true"]);
  gate.resolve();
  hold = undefined;
  expect((await Promise.all(within)).map(({ status }) => status)).toEqual([200, 200, 200]);
  expect((await call("catalog")).status).toBe(200);
});

test("an instance that fails three times in a row is left out", async () => {
  failing = "one";
  answers = [];
  await eventually(async () => {
    await call("catalog");
    expect(answers.filter((name) => name === "one").length).toBe(3);
  });
  answers = [];
  for (let n = 0; n < 40; n++) expect((await call("catalog")).status).toBe(200);
  expect(answers).not.toContain("one");
  const page = await (await fetch(`${web.admin}/metrics`)).text();
  const gauge = page
    .split("\n")
    .find((line) => line.startsWith('heddle_outlier_ejections_active{upstream="shop/catalog"}'));
  expect(gauge?.endsWith(" 1")).toBe(true);
  failing = undefined;
});
