import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";

const POLICY = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: payment }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec:
  service: catalog
  rules: [{ allow: { from: [shop/web], methods: [GET, POST, HEAD] } }]
`;

let mesh: TestMesh;
let web: TestSidecar;
let app: ReturnType<typeof Bun.serve>;

beforeAll(async () => {
  app = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === "/echo") return new Response(request.body);
      if (url.pathname === "/status") return new Response("x", { status: Number(url.searchParams.get("code")) });
      return Response.json({
        path: url.pathname + url.search,
        headers: [...request.headers],
        body: await request.text(),
      });
    },
  });
  mesh = await TestMesh.start();
  await mesh.apply(POLICY);
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1 });
  await mesh.startSidecar({ service: "shop/catalog", appPort: app.port ?? 0 });
  await mesh.converged();
  await eventually(async () => {
    const response = await call("/");
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  });
});

afterAll(async () => {
  await mesh.stop();
  await app.stop(true);
});

function call(path: string, init: RequestInit = {}, host = "catalog"): Promise<Response> {
  return fetch(`${web.outbound}${path}`, { ...init, headers: { host, ...(init.headers as Record<string, string>) } });
}

test("a call goes through both sidecars and tells the application who called", async () => {
  const response = await call("/items?q=1");
  const seen = (await response.json()) as { path: string; headers: [string, string][] };
  const headers = new Map(seen.headers);
  expect(seen.path).toBe("/items?q=1");
  expect(headers.get("x-forwarded-client-cert")).toBe(
    "By=spiffe://mesh.local/ns/shop/sa/catalog;URI=spiffe://mesh.local/ns/shop/sa/web",
  );
  expect(headers.get("host")).toBe("catalog");
});

test("every spelling of the host arrives", async () => {
  for (const host of [
    "catalog",
    "catalog:8080",
    "catalog.shop",
    "catalog.shop.mesh.local",
    "CATALOG.shop.mesh.local:80",
  ]) {
    expect((await call("/", {}, host)).status).toBe(200);
  }
});

test("an unknown host is 404, an unreachable service 403 with the remedy", async () => {
  const unknown = await call("/", {}, "nowhere");
  expect([unknown.status, unknown.headers.get("server")]).toEqual([404, "heddle"]);
  const denied = await call("/charge", { method: "POST" }, "payment");
  expect(denied.status).toBe(403);
  expect(denied.headers.get("x-heddle-denied")).toContain(
    "heddle allow shop/web shop/payment --methods POST --paths /charge",
  );
});

test("the called side refuses what its rules do not allow, and says which revision decided", async () => {
  const denied = await call("/items", { method: "DELETE" });
  expect(denied.status).toBe(403);
  expect(await denied.text()).toContain("shop/web may not DELETE /items on shop/catalog");
});

test("bodies stream both ways intact", async () => {
  const body = crypto.getRandomValues(new Uint8Array(60_000));
  const big = new Uint8Array(8 * 1024 * 1024).map((_, index) => body[index % body.length] ?? 0);
  const response = await call("/echo", { method: "POST", body: big });
  const back = new Uint8Array(await response.arrayBuffer());
  expect(Bun.hash(back)).toBe(Bun.hash(big));
});

test("HEAD, 204 and 304 have no body", async () => {
  expect(await (await call("/", { method: "HEAD" })).text()).toBe("");
  for (const code of [204, 304]) expect((await call(`/status?code=${code}`)).status).toBe(code);
});
