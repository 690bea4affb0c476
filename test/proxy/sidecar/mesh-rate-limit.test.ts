/** One budget for all instances of a service, and each caller, path or header value with one of its own. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: heddle/v1\nkind: ${kind}\nmetadata: { namespace: shop, name: ${name} }\nspec: ${spec}\n---\n`;

const RULES = `[  { match: [{ path: { prefix: /shared } }], requests: 40, per: 1h, scope: mesh }, { match: [{ path: { prefix: /alone } }], requests: 40, per: 1h }, { match: [{ path: { prefix: /users } }], requests: 2, per: 1h, by: { header: x-user } }, { match: [{ path: { prefix: /paths } }], requests: 2, per: 1h, by: [source, path] }]`;

let mesh: TestMesh;
let web: TestSidecar;
const answers = new Map<string, number>();
const apps: Bun.Server<undefined>[] = [];

function app(name: string): number {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch() {
      answers.set(name, (answers.get(name) ?? 0) + 1);
      return new Response(name);
    },
  });
  apps.push(server);
  return server.port ?? 0;
}

function call(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${web.outbound}${path}`, { headers: { host: "payment", ...headers } });
}

/** How many of `count` requests, one after the other, are let through. */
async function passed(path: string, count: number, headers: Record<string, string> = {}): Promise<number> {
  let through = 0;
  for (let n = 0; n < count; n++) {
    const response = await call(path, headers);
    await response.text();
    if (response.status === 200) through++;
  }
  return through;
}

beforeAll(async () => {
  mesh = await TestMesh.start();
  const ports = "{ ports: [{ port: 8080, protocol: http }], loadBalancer: { algorithm: round-robin } }";
  await mesh.apply(
    document("Service", "web", ports) +
      document("Service", "payment", ports) +
      document("AccessPolicy", "payment", "{ service: payment, rules: [{ allow: { from: [shop/web] } }] }") +
      document("RateLimit", "payment", `{ service: payment, rules: ${RULES} }`),
  );
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1 });
  await mesh.startSidecar({ service: "shop/payment", appPort: app("one") });
  await mesh.startSidecar({ service: "shop/payment", appPort: app("two") });
  await mesh.converged();
  await eventually(async () => {
    for (let n = 0; n < 4; n++) expect((await call("/")).status).toBe(200);
    expect(answers.size).toBe(2);
  });
});

afterAll(async () => {
  await mesh.stop();
  for (const server of apps) await server.stop(true);
});

test("instances share one budget, where each would have its own", async () => {
  expect(await passed("/alone", 120)).toBe(80);
  let shared = 0;
  // Until what was granted is spent; the answers of control may take their time.
  await eventually(async () => {
    shared += await passed("/shared", 10);
    expect(shared).toBeGreaterThanOrEqual(40);
  });
  shared += await passed("/shared", 60);
  // Each may have spent a tenth on credit before it was told that nothing is left.
  expect(shared).toBeLessThanOrEqual(48);
  const refused = await call("/shared");
  expect([refused.status, refused.headers.get("x-ratelimit-limit")]).toEqual([429, "40"]);
  expect(refused.headers.get("x-ratelimit-remaining")).toBe("0");
});

test("each value of a header, and each path of a caller, has a bucket of its own", async () => {
  // Two instances, each with its own buckets.
  expect(await passed("/users", 10, { "x-user": "alice" })).toBe(4);
  expect(await passed("/users", 10, { "x-user": "bob" })).toBe(4);
  expect(await passed("/paths/a", 10)).toBe(4);
  expect(await passed("/paths/b", 10)).toBe(4);
});

test("a caller of gRPC is told RESOURCE_EXHAUSTED, and when to come back", async () => {
  const headers = { "x-user": "carol", "content-type": "application/grpc" };
  const answers = [];
  for (let n = 0; n < 10; n++) answers.push(await call("/users", headers));
  const refused = answers.filter((response) => response.headers.get("grpc-status") === "8");
  expect(refused).toHaveLength(6);
  for (const { status, headers: fields } of refused) {
    expect([status, fields.get("x-ratelimit-limit"), fields.has("retry-after")]).toEqual([200, "2", true]);
  }
});

test("while control is away, each instance counts by itself", async () => {
  mesh.quota.stop();
  await mesh.apply(
    document(
      "RateLimit",
      "payment",
      "{ service: payment, rules: [{ match: [{ path: { prefix: /away } }], requests: 20, per: 1h, scope: mesh }] }",
    ),
  );
  await eventually(async () => {
    expect((await call("/alone")).status).toBe(200);
  });
  // At first on credit, until it is known that nobody answers; then each has the whole budget.
  let through = 0;
  await eventually(async () => {
    through += await passed("/away", 10);
    expect(through).toBeGreaterThanOrEqual(40);
  });
  through += await passed("/away", 100);
  expect(through).toBeLessThanOrEqual(44);
});
