/** Copies of requests for a target that is slow, or dies: no request is refused, or fails, for their sake. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, type TestSidecar } from "../../support/mesh.ts";
import { openToWeb, routeDocument } from "../../support/policy.ts";
import { TwoHops } from "../../support/two-hops.ts";

const POLICY = `
---
${openToWeb("catalog")}${routeDocument(
  "catalog",
  `
- backends: [{ subset: v1 }]
  mirror: { subset: v2 }
`,
)}`;

/** The copies go to another part of the same service, and count where its requests do. */
const service = (bounds: string): string => `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec:
  ports: [{ port: 8080, protocol: http }]
  subsets: { v1: { version: v1 }, v2: { version: v2 } }
  ${bounds}
`;

let hops: TwoHops;
/** What the target's application was sent. */
let received = "";
let silent: Bun.TCPSocketListener<undefined>;
let target: TestSidecar;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
  silent = Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(_, chunk) {
        received += chunk;
      },
    },
  });
  target = await hops.mesh.startSidecar({
    service: "shop/catalog",
    appPort: silent.port,
    labels: { version: "v2" },
  });
  await hops.apply(service("connectionPool: { maxRequests: 2, maxPendingRequests: 1 }"));
  await hops.reaches(2);
});
afterAll(async () => {
  await hops.stop();
  silent.stop(true);
});

async function answered(): Promise<void> {
  const response = await hops.call("/any", { method: "POST", body: "x".repeat(1000) });
  expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('"instance":"v1"')]);
}

async function activeAt(instance: string): Promise<number | undefined> {
  const [catalog] = await hops.clusters();
  return catalog?.endpoints.find((endpoint) => endpoint.instance === instance)?.activeRequests;
}

test("a target that never answers takes no room that policy gives to requests", async () => {
  for (let call = 0; call < 20; call++) await answered();
  // They are under way all the same, whole, and to be told from requests.
  await eventually(() => expect(received).toContain("x".repeat(1000)));
  expect(received).toMatch(/^host: catalog-shadow\r\n/im);
  await eventually(async () => expect(await activeAt("catalog-3")).toBeGreaterThan(2));
});

test("there are no more copies than the sidecar's bound, and requests go on", async () => {
  await hops.apply(service(""));
  // At once, for a copy is given up after 15 s.
  let metrics = "";
  for (let round = 0; round < 20 && !metrics.includes('outcome="overflow"'); round++) {
    await Promise.all(Array.from({ length: 64 }, answered));
    metrics = await hops.metrics();
  }
  expect(metrics).toContain('heddle_mirrored_requests_total{outcome="overflow"}');
});

test("a target that dies fails its copies, and no request", async () => {
  await target.crash();
  for (let call = 0; call < 20; call++) await answered();
  await eventually(async () =>
    expect(await hops.metrics()).toContain('heddle_mirrored_requests_total{outcome="failed"}'),
  );
});
