/** What goes wrong, and how it is named: status, response flag and details, in the access log and in the metrics. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../../support/mesh.ts";
import type { RawClient } from "../../support/raw-client.ts";
import { TwoHops } from "../../support/two-hops.ts";

const POLICY = `
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec:
  service: catalog
  rules:
    - allow: { from: [shop/web] }
    - deny: { paths: [/admin] }
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - { match: [{ path: { prefix: /slow } }], timeout: 150ms }
    - match: [{ path: { prefix: /drip } }]
      timeout: 150ms
    - { match: [{ path: { exact: /v3 } }], backends: [{ subset: v3 }] }
    - match: [{ path: { prefix: /flaky } }]
      retries: { attempts: 3, on: [5xx] }
    - match: [{ path: { prefix: /never } }]
      retries: { attempts: 1, perTryTimeout: 80ms, on: [reset] }
    - { match: [{ methods: [GET, POST, HEAD, DELETE] }] }
`;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
});
afterAll(() => hops.stop());

async function metric(labels: Record<string, string>, of = hops.web): Promise<number> {
  const lines = (await hops.metrics(of)).split("\n").filter((line) => line.startsWith("istio_requests_total{"));
  const wanted = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  const found = lines.filter((line) => wanted.every((part) => line.includes(part)));
  return found.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
}

/** Nothing of a request is left: no load counted, nobody waiting. */
async function settled(): Promise<void> {
  await eventually(async () => {
    for (const { endpoints } of await hops.clusters()) {
      for (const { activeRequests, pendingRequests } of endpoints) {
        if (activeRequests !== 0 || pendingRequests !== 0)
          throw new Error(`${activeRequests} active, ${pendingRequests} waiting`);
      }
    }
  });
}

const ROWS = [
  { path: "/nr", host: "nowhere", status: 404, flag: "NR", details: "route_not_found", service: "unknown" },
  { path: "/nr-method", method: "PATCH", status: 404, flag: "NR", details: "route_not_found", service: "catalog" },
  { path: "/v3", status: 503, flag: "UH", details: "no_healthy_upstream", service: "catalog" },
  { path: "/slow?ms=2000", status: 504, flag: "UT", details: "upstream_response_timeout", service: "catalog" },
  { path: "/never?p", status: 504, flag: "URX,UT", details: "upstream_per_try_timeout", service: "catalog" },
] as const;

describe("web's sidecar says", () => {
  for (const row of ROWS) {
    test(`${row.flag} for ${row.path}`, async () => {
      const host = "host" in row ? row.host : "catalog";
      const init = "method" in row ? { method: row.method } : {};
      const response = await hops.call(row.path, init, host);
      expect([response.status, response.headers.get("server")]).toEqual([row.status, "heddle"]);
      await response.text();
      expect(await hops.line(row.path)).toMatchObject({
        response_code: row.status,
        response_flags: row.flag,
        response_code_details: row.details,
      });
      const labels = {
        response_code: String(row.status),
        response_flags: row.flag,
        destination_service_name: row.service,
      };
      expect(await metric(labels)).toBeGreaterThan(0);
      await settled();
    });
  }

  test("UT for a response that outlasts the route's timeout: it is cut off, not answered twice", async () => {
    const client = await hops.connect();
    client.send("GET /drip?pieces=400 HTTP/1.1\r\nhost: catalog\r\n\r\n");
    const text = await client.untilEnded();
    expect(text).toStartWith("HTTP/1.1 200 ");
    expect(text).not.toContain("HTTP/1.1 504");
    expect(text).not.toEndWith("0\r\n\r\n");
    const line = await hops.line("/drip?pieces=400");
    expect([line.response_code, line.response_flags]).toEqual([200, "UT"]);
    await settled();
    await eventually(async () => expect((await hops.app.seen()).aborted).toContain("/drip?pieces=400"));
  });

  test("retries on 5xx until it works, and counts them", async () => {
    const response = await hops.call("/flaky?key=a&times=2&code=503");
    expect([response.status, await response.text()]).toEqual([200, "3"]);
    expect(await hops.metrics()).toContain('heddle_retries_total{upstream="shop/catalog"} ');
    const posted = await hops.call("/flaky?key=b&times=1&code=500", { method: "POST", body: "again" });
    expect([posted.status, await posted.text()]).toEqual([200, "2"]);
    const hopeless = await hops.call("/flaky?key=c&times=9&code=502");
    expect(hopeless.status).toBe(502);
    expect(await hopeless.text()).toBe("4");
    const line = await hops.line("/flaky?key=c&times=9&code=502");
    expect([line.response_code, line.response_flags]).toEqual([502, "URX"]);
  });

  test("DPE for what is no HTTP, in log and metrics", async () => {
    const client = await hops.connect();
    client.send("GET /dpe HTTP/1.1\r\nhost: catalog\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n");
    expect(await client.untilEnded()).toStartWith("HTTP/1.1 400 ");
    await eventually(async () =>
      expect(await metric({ response_flags: "DPE", response_code: "400" })).toBeGreaterThan(0),
    );
    const line = await hops.line("");
    expect([line.response_code, line.response_flags, line.response_code_details]).toEqual([
      400,
      "DPE",
      "content_length_with_transfer_encoding",
    ]);
  });
});

describe("catalog's sidecar says", () => {
  test("RBAC, the rule and its revision, for what a rule denies", async () => {
    expect((await hops.call("/admin")).status).toBe(403);
    const line = await hops.line("/admin", hops.catalog);
    expect(line.response_flags).toBe("RBAC");
    expect(line.policy_origin).toMatch(/^shop\/storefront\[1\]@\d+$/);
    expect(line.response_code_details).toBe(`rbac_access_denied_matched_policy[${line.policy_origin}]`);
    expect(await metric({ response_flags: "RBAC", reporter: "destination" }, hops.catalog)).toBe(1);
    expect((await hops.app.seen()).seen).not.toContain("GET /admin");
  });

  test("UC for an application that dies before it answers", async () => {
    const response = await hops.call("/reset");
    expect(response.status).toBe(503);
    expect((await hops.line("/reset", hops.catalog)).response_flags).toBe("UC");
  });

  test("UC for one that dies within its answer: the client sees a broken response, and not a second one", async () => {
    for (const path of ["/half", "/half?length"]) {
      const client = await hops.connect();
      client.send(`GET ${path} HTTP/1.1\r\nhost: catalog\r\n\r\n`);
      const text = await client.untilEnded();
      expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
      expect(text).not.toEndWith("0\r\n\r\n");
      const line = await hops.line(path, hops.catalog);
      expect([line.response_code, line.response_flags]).toEqual([200, "UC"]);
      // To web's sidecar, it was one stream that was reset, on a connection that goes on.
      const outer = await hops.line(path);
      expect([outer.response_flags, outer.response_code_details]).toEqual([
        "UR",
        "upstream_reset_after_response_started{remote_reset}",
      ]);
    }
    await settled();
  });

  test("DC for a client that leaves while the application works; the application learns of it", async () => {
    const client = await hops.connect();
    client.send("GET /never-mind/../slow/../drip?pieces=1000 HTTP/1.1\r\nhost: catalog\r\n\r\n");
    client.close();
    const waiting = await hops.connect();
    waiting.send("POST /digest?left HTTP/1.1\r\nhost: catalog\r\ncontent-length: 10\r\n\r\nab");
    await eventually(async () => expect((await hops.app.seen()).seen).toContain("POST /digest?left"));
    waiting.close();
    await eventually(async () => expect((await hops.app.seen()).aborted).toContain("/digest?left"));
    expect((await hops.line("/digest?left")).response_flags).toBe("DC");
    expect((await hops.line("/digest?left", hops.catalog)).response_flags).toBe("DC");
    await settled();
  });

  test("DC for a client that leaves within the response", async () => {
    const client = await hops.connect();
    client.send("GET /stream?bytes=50000000 HTTP/1.1\r\nhost: catalog\r\n\r\n");
    await client.until("xxx");
    client.close();
    await eventually(async () => expect((await hops.app.seen()).aborted).toContain("/stream?bytes=50000000"));
    const line = await hops.line("/stream?bytes=50000000");
    expect([line.response_code, line.response_flags]).toEqual([200, "DC"]);
    await settled();
  });

  test("UF for an application that is not there", async () => {
    const gone = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = gone;
    gone.stop(true);
    const labels = { version: "v3" };
    const broken = await hops.mesh.startSidecar({ service: "shop/catalog", appPort: port, labels });
    await hops.reaches(2);
    const response = await hops.call("/v3");
    expect(response.status).toBe(503);
    expect((await hops.line("/v3", broken)).response_flags).toBe("UF");
    await broken.stop();
    await hops.reaches(1);
  });
});

test("a second request of a peer that was denied a body is not mistaken for it", async () => {
  const client: RawClient = await hops.connect();
  client.send("POST /admin HTTP/1.1\r\nhost: catalog\r\ncontent-length: 3000\r\n\r\n");
  await client.until("\r\n\r\n");
  client.send(`${"x".repeat(3000)}GET /after-denial HTTP/1.1\r\nhost: catalog\r\n\r\n`);
  await client.until('"url":"/after-denial"');
  client.close();
});
