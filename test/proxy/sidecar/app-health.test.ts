import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, TestMesh } from "../../support/mesh.ts";

const POLICY = `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec: { ports: [{ port: 8080, protocol: http }] }
`;

let mesh: TestMesh;

beforeAll(async () => {
  mesh = await TestMesh.start();
  await mesh.apply(POLICY);
});
afterAll(() => mesh.stop());

function serve(port: number, status: () => number) {
  return Bun.serve({ hostname: "127.0.0.1", port, fetch: () => new Response("", { status: status() }) });
}

function offered(): number {
  return mesh.endpoints.registry.endpointsOf("shop/catalog").length;
}

test("an instance is offered while its application is healthy, and only then", async () => {
  let status = 200;
  const app = serve(0, () => status);
  const check = { kind: "http", path: "/healthz" } as const;
  const { sidecar, admin } = await mesh.startSidecar({
    service: "shop/catalog",
    appPort: app.port ?? 0,
    appHealth: check,
  });
  await eventually(() => expect([sidecar.notReady(), offered()]).toEqual([undefined, 1]));
  status = 500;
  await eventually(() => expect(offered()).toBe(0));
  const ready = await fetch(`${admin}/healthz/ready`);
  expect([ready.status, await ready.text()]).toEqual([
    503,
    "not ready: the application is not healthy: GET /healthz was answered with 500\n",
  ]);
  status = 200;
  await eventually(() => expect(offered()).toBe(1));
  await app.stop(true);
  await eventually(() => expect(offered()).toBe(0));
  await sidecar.stop();
}, 20_000);

test("an application that starts after its sidecar is found", async () => {
  const placeholder = serve(0, () => 200);
  const port = placeholder.port ?? 0;
  await placeholder.stop(true);
  const { sidecar } = await mesh.startSidecar({ service: "shop/catalog", appPort: port, appHealth: { kind: "tcp" } });
  await eventually(() => expect(sidecar.notReady()).toContain("takes no connections"));
  const app = serve(port, () => 200);
  await eventually(() => expect([sidecar.notReady(), offered()]).toEqual([undefined, 1]));
  await sidecar.stop();
  await app.stop(true);
});

test("policy says how the application is asked, whatever the sidecar was started with", async () => {
  let status = 503;
  const asked: string[] = [];
  const app = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked.push(new URL(request.url).pathname);
      return new Response("", { status });
    },
  });
  const { sidecar } = await mesh.startSidecar({ service: "shop/catalog", appPort: app.port ?? 0 });
  await eventually(() => expect([sidecar.notReady(), offered()]).toEqual([undefined, 1]));
  expect(asked).toEqual([]);
  await mesh.apply(
    POLICY.replace(" }] }", " }], healthCheck: { http: { path: /well }, interval: 20ms, healthyThreshold: 3 } }"),
  );
  await eventually(() => expect(offered()).toBe(0));
  expect(new Set(asked)).toEqual(new Set(["/well"]));
  const before = asked.length;
  status = 200;
  await eventually(() => expect(offered()).toBe(1));
  expect(asked.length - before).toBeGreaterThanOrEqual(3);
  status = 503;
  await eventually(() => expect(offered()).toBe(0));
  // Without a check in policy, it is as the sidecar was started: not asked at all.
  await mesh.apply(POLICY);
  await eventually(() => expect(offered()).toBe(1));
  await sidecar.stop();
  await app.stop(true);
}, 30_000);
