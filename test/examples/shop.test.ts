/** The shop without a mesh: its services as real processes, behind a plain HTTP proxy that knows where each one is. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";

const SHOP = join(import.meta.dir, "../../examples/shop");
const READY_TIMEOUT_MS = 20_000;

const children: Bun.Subprocess[] = [];
const origins = new Map<string, string>();
const proxied: string[] = [];
let proxy: Bun.Server<undefined>;

/** Stands where a sidecar would: sends a request on by the host that the application named. */
function startProxy(): Bun.Server<undefined> {
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { hostname, pathname } = new URL(request.url);
      proxied.push(`${request.method} ${hostname}${pathname} ${request.headers.get("x-sticky-user") ?? "-"}`);
      const origin = origins.get(hostname);
      if (origin === undefined) return new Response("no such service", { status: 404 });
      const body = request.method === "GET" ? {} : { body: await request.text() };
      return fetch(`${origin}${pathname}`, { method: request.method, headers: request.headers, ...body, proxy: "" });
    },
  });
}

async function start(name: string, file: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
  const port = freePort();
  const child = Bun.spawn([process.execPath, join(SHOP, file)], {
    env: { PATH: process.env.PATH, PORT: String(port), http_proxy: `http://127.0.0.1:${proxy.port}`, ...env },
    stdout: "ignore",
    stderr: "inherit",
  });
  children.push(child);
  const origin = `http://127.0.0.1:${port}`;
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const healthy = await fetch(`${origin}/healthz`).then(
      (response) => response.ok,
      () => false,
    );
    if (healthy) break;
    if (performance.now() > deadline || child.exitCode !== null) throw new Error(`${name} did not start`);
    await Bun.sleep(10);
  }
  origins.set(name, origin);
}

beforeAll(async () => {
  proxy = startProxy();
  await Promise.all([
    start("web", "web.ts"),
    start("orders", "orders.ts"),
    start("payment", "payment.ts"),
    start("catalog", "catalog.ts"),
    start("catalog-v2", "catalog.ts", { VERSION: "v2" }),
  ]);
}, READY_TIMEOUT_MS + 5_000);

afterAll(async () => {
  for (const child of children) child.kill("SIGTERM");
  const codes = await Promise.all(children.map((child) => child.exited));
  await proxy?.stop(true);
  expect(codes).toEqual(children.map(() => 0));
});

test("the front page shows catalog and orders, fetched through the proxy, the user's mark handed on", async () => {
  const response = await fetch(`${origins.get("web")}/`, { headers: { "x-sticky-user": "beta" } });
  expect(await response.json()).toEqual({
    catalog: { version: "v1", items: [{ name: "shuttle" }, { name: "reed" }, { name: "heddle" }] },
    orders: expect.any(Array),
  });
  expect(proxied).toContain("GET catalog/items beta");
  expect(proxied).toContain("GET orders/orders beta");
});

test("an order is paid for and then stands", async () => {
  const charges = async (): Promise<unknown> => (await fetch(`${origins.get("payment")}/charges`)).json();
  const before = await charges();
  const response = await fetch(`${origins.get("web")}/checkout`, { method: "POST", body: '{"item":"reed"}' });
  expect(response.status).toBe(201);
  const order = await response.json();
  expect(order).toMatchObject({ item: "reed" });
  expect(await (await fetch(`${origins.get("orders")}/orders`)).json()).toContainEqual(order);
  expect(await charges()).not.toEqual(before);
  expect(proxied).toContain("POST payment/charge -");
});

test("an order that cannot be read is refused, and what failed on the way is told", async () => {
  const response = await fetch(`${origins.get("web")}/checkout`, { method: "POST", body: "{}" });
  expect(response.status).toBe(502);
  expect(await response.text()).toContain("400");
  const garbled = await fetch(`${origins.get("orders")}/checkout`, { method: "POST", body: "{" });
  expect(garbled.status).toBe(400);
});

test("the two versions of the catalog differ, and one can be broken and mended", async () => {
  const origin = origins.get("catalog-v2");
  const items = (): Promise<Response> => fetch(`${origin}/items`);
  const healthy = await items();
  expect(healthy.headers.get("x-version")).toBe("v2");
  expect(await healthy.json()).toMatchObject({ items: [{ name: "shuttle", price: 12 }, {}, {}] });
  await fetch(`${origin}/fail?on=true`, { method: "POST" });
  expect((await items()).status).toBe(500);
  await fetch(`${origin}/fail?on=false`, { method: "POST" });
  expect((await items()).status).toBe(200);
});
