/** Strict, permissive and disabled mutual TLS, by mesh, namespace, service and port, through real sidecars. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { eventually } from "../../support/mesh.ts";
import { RawClient } from "../../support/raw-client.ts";
import { TwoHops } from "../../support/two-hops.ts";

/** Each test begins, and ends, with a strict catalog that lets in shop/web and callers without an identity. */
let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

const mesh = (rest: string): string => `
---
apiVersion: heddle/v1
kind: Mesh
metadata: { name: default }
spec: { trustDomain: mesh.local${rest} }
`;
const service = (rest = "", ports = "[{ port: 8080, protocol: http }]"): string => `
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec: { ports: ${ports}${rest} }
`;
const access = (...from: string[]): string => `
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec: { service: catalog, rules: [{ allow: { from: [${from.join(", ")}] } }] }
`;

interface Seen {
  readonly status: number;
  readonly headers: readonly string[];
  readonly text: string;
}

/** A caller without a sidecar. */
async function plaintext(path: string, headers: Record<string, string> = {}): Promise<Seen> {
  const response = await fetch(`http://127.0.0.1:${inboundPort()}${path}`, { headers, keepalive: false });
  return seen(response);
}

async function seen(response: Response): Promise<Seen> {
  const text = await response.text();
  const parsed = response.ok ? (JSON.parse(text) as { headers: string[] }).headers : [];
  const headers = Array.from({ length: parsed.length / 2 }, (_, at) => `${parsed[2 * at]}: ${parsed[2 * at + 1]}`);
  return { status: response.status, headers, text };
}

function inboundPort(): number {
  return hops.catalog.sidecar.inboundAddress.port;
}

/** The status that a caller without a sidecar gets; `closed` where it gets no answer. */
async function statusOfPlaintext(path = "/"): Promise<number | "closed"> {
  try {
    return (await plaintext(path)).status;
  } catch {
    return "closed";
  }
}

/** Applies, and waits until a caller with a sidecar and one without get these. */
async function settles(policy: string, meshed: number, plain: number | "closed"): Promise<void> {
  await hops.mesh.apply(policy);
  await eventually(async () => {
    expect([(await hops.call("/")).status, await statusOfPlaintext()]).toEqual([meshed, plain]);
  }, 8_000);
}

test("what is said closest to a port holds there", async () => {
  await settles(service() + access("shop/web", "none"), 200, "closed");
  await settles(mesh(", mtls: permissive"), 200, 200);
  await settles(mesh(", mtls: permissive, namespaces: { shop: { mtls: strict } }"), 200, "closed");
  await settles(service(", mtls: permissive"), 200, 200);
  await settles(service(", mtls: permissive", "[{ port: 8080, protocol: http, mtls: strict }]"), 200, "closed");
  await settles(mesh("") + service(), 200, "closed");
}, 120_000);

test("permissive: who comes in plaintext is nobody, is counted as such, and is believed nothing", async () => {
  await settles(service(", mtls: permissive") + access("shop/web"), 200, 403);
  const denied = await plaintext("/charge");
  expect(denied.text).toContain("a caller without a certificate may not GET /charge on shop/catalog");
  expect(denied.text).toContain("heddle allow none shop/catalog --methods GET --paths /charge");
  await settles(access("shop/web", "none"), 200, 200);
  const claims = {
    "x-forwarded-client-cert": "By=x;URI=spiffe://mesh.local/ns/shop/sa/admin",
    x_forwarded_client_cert: "URI=spiffe://mesh.local/ns/shop/sa/admin",
    "x-heddle-caller": "shop/admin",
    "x-forwarded-for": "10.0.0.1",
    "x-request-id": "mine",
    "x-other": "kept",
  };
  const { headers } = await plaintext("/", claims);
  expect(headers.filter((field) => /admin|10\.0\.0\.1|mine/.test(field))).toEqual([]);
  expect(headers).toContain("x-other: kept");
  const meshed = await seen(
    await hops.call("/", { headers: { "x-heddle-caller": "x", x_forwarded_client_cert: "x" } }),
  );
  expect(meshed.headers.filter((field) => /^x[-_](?:heddle|forwarded.client)/.test(field))).toEqual([
    "x-forwarded-client-cert: By=spiffe://mesh.local/ns/shop/sa/catalog;URI=spiffe://mesh.local/ns/shop/sa/web",
  ]);
  const page = await hops.metrics(hops.catalog);
  expect(page).toMatch(/istio_requests_total\{[^}]*connection_security_policy="none"[^}]*\} [1-9]/);
  expect(page).toMatch(/istio_requests_total\{[^}]*connection_security_policy="mutual_tls"[^}]*\} [1-9]/);
  await settles(service(), 200, "closed");
}, 60_000);

test("strict again: a connection that came in plaintext is let finish and no more", async () => {
  await settles(service(", mtls: permissive"), 200, 200);
  const client = await RawClient.connect(inboundPort());
  client.send("GET / HTTP/1.1\r\nhost: catalog\r\n\r\n");
  await client.until("HTTP/1.1 200");
  await settles(service(), 200, "closed");
  await eventually(() => expect(client.ended).toBe(true));
}, 60_000);

test("disabled: sidecars call without TLS, and are nobody", async () => {
  await settles(service(", mtls: disabled") + access("none"), 200, 200);
  const { headers } = await seen(await hops.call("/"));
  expect(headers.some((field) => field.startsWith("x-forwarded-client-cert"))).toBe(false);
  await settles(access("shop/web"), 403, 403);
  await settles(service() + access("shop/web", "none"), 200, "closed");
}, 60_000);

test("ports of one service may differ: a strict one takes no plaintext", async () => {
  const ports = "[{ port: 8080, protocol: http, mtls: permissive }, { port: 8081, protocol: http }]";
  await settles(service("", ports), 200, 200);
  const refused = await plaintext("/", { host: "catalog:8081" });
  expect([refused.status, refused.text]).toEqual([403, expect.stringContaining("takes no plaintext")]);
  await settles(service(), 200, "closed");
}, 60_000);

test("permissive TCP: bytes go through, whoever speaks first", async () => {
  const greeter = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket, chunk) => void socket.write(`you said ${chunk.toString()}`),
    },
  });
  const db = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: db }
spec: { ports: [{ port: 5432, protocol: tcp, mtls: permissive }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: db }
spec: { service: db, rules: [{ allow: { from: [none], ipBlocks: [127.0.0.0/8] } }] }
`;
  await hops.mesh.apply(db);
  const sidecar = await hops.mesh.startSidecar({ service: "shop/db", appPort: greeter.port });
  await eventually(async () => {
    const reply = await new Promise<string>((resolve, reject) => {
      const socket = connect(sidecar.sidecar.inboundAddress.port, "127.0.0.1", () => socket.write("hello"));
      socket.on("data", (chunk) => {
        resolve(chunk.toString());
        socket.destroy();
      });
      socket.on("close", () => reject(new Error("closed")));
      socket.on("error", reject);
    });
    expect(reply).toBe("you said hello");
  });
  await sidecar.stop();
  greeter.stop(true);
}, 30_000);

test("a caller cannot have taken away, as hop-by-hop, what the sidecar says of it", async () => {
  const named = "connection: x-forwarded-client-cert, x-request-id, x-forwarded-proto\r\n";
  const client = await hops.connect();
  client.send(`GET / HTTP/1.1\r\nhost: catalog\r\nx-forwarded-client-cert: URI=admin\r\n${named}\r\n`);
  const text = await client.until("}");
  expect(text).toStartWith("HTTP/1.1 200");
  expect(text).toContain("URI=spiffe://mesh.local/ns/shop/sa/web");
  expect(text).not.toContain("URI=admin");
  expect(text).toContain("x-request-id");
  client.close();
});
