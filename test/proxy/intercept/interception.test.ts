/** Applications that know nothing of a mesh, on hosts whose connections are redirected to their sidecars. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { firstWord, InterceptedMesh, SIDECAR_USER } from "../../support/intercepted-mesh.ts";
import { eventually } from "../../support/mesh.ts";
import { type HostChild, whyNoNamespaces } from "../../support/namespaces.ts";

const SNIFFER = join(import.meta.dir, "../../support/sniffer.mjs");
const APP_PORT = 8080;
const DB_PORT = 5432;
const UDP_PORT = 9999;
/** Left alone by `--exclude-ports`. */
const PLAIN_PORT = 9100;
/** On the hub, which is no part of the mesh. */
const OUTSIDE_PORT = 7070;
const OUTSIDE_TCP_PORT = 7071;

const POLICY = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: ${APP_PORT}, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec: { ports: [{ port: ${APP_PORT}, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: db }
spec: { ports: [{ port: ${DB_PORT}, protocol: tcp }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: catalog }
spec: { service: catalog, rules: [{ allow: { from: [shop/web] } }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: db }
spec: { service: db, rules: [{ allow: { from: [shop/web] } }] }
`;

const WEB_IDENTITY = "URI=spiffe://mesh.local/ns/shop/sa/web";
const reason = whyNoNamespaces();

describe.skipIf(reason !== undefined)(`interception${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let mesh: InterceptedMesh<"web" | "catalog" | "db">;
  let webSidecar: HostChild;

  beforeAll(async () => {
    mesh = await InterceptedMesh.start(["web", "catalog", "db"]);
    const { web, catalog, db } = mesh.hosts;
    const { hub } = mesh.network;
    await mesh.mesh.apply(POLICY);
    await mesh.network.nameHosts(web, [
      `${catalog.ipv4} catalog`,
      `${catalog.ipv6} catalog.shop`,
      `${db.ipv6} db`,
      `${hub.ipv4} outside.example`,
    ]);
    await Promise.all([
      mesh.serve(catalog, ["serve", "http", `${APP_PORT}`]),
      mesh.serve(catalog, ["serve", "udp", `${UDP_PORT}`]),
      mesh.serve(catalog, ["serve", "greeter", `${PLAIN_PORT}`]),
      mesh.serve(db, ["serve", "greeter", `${DB_PORT}`]),
      mesh.serve(hub, ["serve", "http", `${OUTSIDE_PORT}`]),
      mesh.serve(hub, ["serve", "greeter", `${OUTSIDE_TCP_PORT}`]),
    ]);
    for (const host of [web, catalog, db]) {
      await mesh.heddle(host, "intercept", "--user", `${SIDECAR_USER}`, "--exclude-ports", `${PLAIN_PORT}`);
    }
    [webSidecar] = await Promise.all([
      mesh.startSidecar(web, "shop/web", { port: APP_PORT, args: ["--app-health", "none"] }),
      mesh.startSidecar(catalog, "shop/catalog", { port: APP_PORT }),
      mesh.startSidecar(db, "shop/db", { port: DB_PORT, advertise: db.ipv6 }),
    ]);
    await callable();
  }, 60_000);

  afterAll(() => mesh.stop(), 30_000);

  /** Resolves when web's sidecar knows where catalog and db are. */
  async function callable(): Promise<void> {
    const { web, db } = mesh.hosts;
    await eventually(async () => {
      expect(await mesh.http(web, `http://catalog:${APP_PORT}/`)).toMatchObject({ status: 200 });
      expect(await mesh.tcp(web, db.ipv6, DB_PORT, "x")).toEqual({ received: "hello\nX" });
    }, 30_000);
  }

  test.each([
    ["by its name", () => `http://catalog:${APP_PORT}/menu?of=today`],
    ["by its IPv4 address", () => `http://${mesh.hosts.catalog.ipv4}:${APP_PORT}/menu?of=today`],
    ["by its name over IPv6", () => `http://catalog.shop:${APP_PORT}/menu?of=today`],
  ])("a service is called %s", async (_, url) => {
    const { status, body = "" } = await mesh.http(mesh.hosts.web, url());
    expect(status).toBe(200);
    const seen = JSON.parse(body) as { url: string; headers: Record<string, string> };
    expect(seen.url).toBe("/menu?of=today");
    expect(seen.headers.host).toBe(new URL(url()).host);
    expect(seen.headers["x-forwarded-client-cert"]).toContain(WEB_IDENTITY);
  });

  test("a server that speaks first is reached at once, half-close included, over IPv6", async () => {
    const answer = await mesh.tcp(mesh.hosts.web, "db", DB_PORT, "select 1");
    expect(answer).toEqual({ received: "hello\nSELECT 1" });
  });

  test("between hosts there is nothing but TLS", async () => {
    const { web, catalog, db } = mesh.hosts;
    const sniffer = mesh.network.hub.start([process.execPath, SNIFFER]);
    const wire = new Response(await firstWord(sniffer)).bytes();
    await mesh.http(web, `http://catalog:${APP_PORT}/secret-in-http`);
    await mesh.tcp(web, db.ipv6, DB_PORT, "secret-in-tcp");
    // What is left alone is seen, and so the sniffer sees.
    await mesh.udp(web, catalog.ipv4, UDP_PORT, "open-in-udp");
    await mesh.tcp(web, catalog.ipv4, PLAIN_PORT, "open-in-tcp");
    sniffer.kill();
    const bytes = Buffer.from(await wire);
    const seen = (text: string): boolean => bytes.includes(text) || bytes.includes(text.toUpperCase());
    expect(["open-in-udp", "open-in-tcp", "secret-in-http", "secret-in-tcp"].map(seen)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test("UDP and excluded ports are left alone", async () => {
    const { web, catalog } = mesh.hosts;
    expect(await mesh.udp(web, catalog.ipv4, UDP_PORT, "ping")).toEqual({ received: "ping" });
    expect(await mesh.tcp(web, catalog.ipv4, PLAIN_PORT, "ping")).toEqual({ received: "hello\nPING" });
  });

  test("who comes in plain is refused, at the application's port and at the outbound one", async () => {
    const { hub } = mesh.network;
    for (const host of [mesh.hosts.catalog.ipv4, `[${mesh.hosts.catalog.ipv6}]`]) {
      expect(await mesh.http(hub, `http://${host}:${APP_PORT}/`)).toEqual({ error: "ECONNRESET" });
    }
    expect(await mesh.http(hub, `http://${mesh.hosts.web.ipv4}:15001/`)).toEqual({ error: "ECONNRESET" });
  });

  test("whoever knows the sidecar may still call it by its own address", async () => {
    const { web } = mesh.hosts;
    const answer = await mesh.http(web, "http://127.0.0.1:15001/");
    expect(answer).toMatchObject({ status: 404, headers: { server: "heddle" } });
  });

  test("the sidecar's own connections are not redirected to it, and loopback is nobody's", async () => {
    const { hub } = mesh.network;
    const { web, db } = mesh.hosts;
    const direct = await mesh.tcp(web, hub.ipv4, OUTSIDE_TCP_PORT, "direct", SIDECAR_USER);
    expect(direct).toEqual({ received: "hello\nDIRECT" });
    expect(await mesh.tcp(db, "127.0.0.1", DB_PORT, "local")).toEqual({ received: "hello\nLOCAL" });
    expect(await mesh.tcp(db, "::1", DB_PORT, "local")).toEqual({ received: "hello\nLOCAL" });
  });

  test("calls that would leave the mesh are refused, unless the sidecar lets anything out", async () => {
    const { web } = mesh.hosts;
    const { hub } = mesh.network;
    const outside = `http://outside.example:${OUTSIDE_PORT}/far`;
    expect(await mesh.http(web, outside)).toMatchObject({ status: 502, headers: { server: "heddle" } });
    expect(await mesh.tcp(web, hub.ipv4, OUTSIDE_TCP_PORT, "out")).toEqual({ received: "", error: "ECONNRESET" });

    webSidecar.kill("SIGKILL");
    await webSidecar.exited;
    const args = ["--app-health", "none", "--outbound-traffic-policy", "allow-any"];
    webSidecar = await mesh.startSidecar(web, "shop/web", { port: APP_PORT, args });
    await callable();

    const { status, body = "" } = await mesh.http(web, outside);
    expect(status).toBe(200);
    const { url, headers } = JSON.parse(body) as { url: string; headers: Record<string, string> };
    expect([url, headers.host, headers["x-request-id"]]).toEqual([
      "/far",
      `outside.example:${OUTSIDE_PORT}`,
      undefined,
    ]);
    const greeted = [hub.ipv4, hub.ipv6].map((address) => mesh.tcp(web, address, OUTSIDE_TCP_PORT, "out"));
    expect(await Promise.all(greeted)).toEqual([{ received: "hello\nOUT" }, { received: "hello\nOUT" }]);
    // Nobody is there: the application learns it, and no loop comes of it.
    expect(await mesh.http(web, `http://${hub.ipv4}:7072/`)).toMatchObject({ status: 503 });
  }, 60_000);

  test("a sidecar whose own connections are redirected to it tells so, and goes in no circles", async () => {
    const { web } = mesh.hosts;
    const { hub } = mesh.network;
    const intercept = (user: number) =>
      mesh.heddle(web, "intercept", "--user", `${user}`, "--exclude-ports", `${PLAIN_PORT},4222`);
    await intercept(SIDECAR_USER + 100);
    const { status, body } = await mesh.http(web, `http://outside.example:${OUTSIDE_PORT}/far`);
    expect(status).toBe(508);
    expect(body).toContain("heddle intercept --user");
    expect(await mesh.tcp(web, hub.ipv4, OUTSIDE_TCP_PORT, "out")).toEqual({ received: "", error: "ECONNRESET" });
    await intercept(SIDECAR_USER);
    expect(await mesh.http(web, `http://outside.example:${OUTSIDE_PORT}/far`)).toMatchObject({ status: 200 });
  }, 30_000);
});
