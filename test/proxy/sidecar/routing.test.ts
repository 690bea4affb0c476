/** Where requests go, over real hops: by what is in them, by who is there, and by who has gone without a word. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../../support/mesh.ts";
import { openToWeb, routeDocument } from "../../support/policy.ts";
import { startTraffic } from "../../support/traffic.ts";
import { type JoinedInstance, TwoHops } from "../../support/two-hops.ts";

const POLICY = `
---
${openToWeb("catalog")}${routeDocument(
  "catalog",
  `
- match: [{ headers: { x-sticky-user: { exact: beta } } }, { path: { prefix: /beta } }]
  backends: [{ subset: v2 }]
- match: [{ methods: [DELETE] }]
  backends: [{ subset: v2 }]
- match: [{ path: { exact: /anywhere } }]
  retries: { attempts: 2, on: [connect-failure, reset], budget: { percent: 100, minPerSecond: 100 } }
- match: [{ path: { regex: "/items/[0-9]+/reviews" }, query: { beta: { exact: "1" } } }]
  backends: [{ subset: v2 }]
- match: [{ cookies: { group: { suffix: -b } } }, { path: { template: "/users/{id}/orders" } }]
  backends: [{ subset: v2 }]
- match: [{ grpc: [{ service: shop.v1.Payment }] }]
  backends: [{ subset: v2 }]
- match: [{ from: [shop/*], fromLabels: { tier: beta }, path: { exact: /who } }]
  backends: [{ subset: v2 }]
- match: [{ from: [shop/web], path: { exact: /whoever } }]
  backends: [{ subset: v2 }]
- backends: [{ subset: v1 }]
`,
)}`;

let hops: TwoHops;
let v2: JoinedInstance;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
  v2 = await hops.join("catalog", "v2", 2);
});
afterAll(() => hops.stop());

async function instanceAt(path: string, init: RequestInit = {}): Promise<string> {
  const response = await hops.call(path, init);
  return ((await response.json()) as { instance: string }).instance;
}

const ROWS: [name: string, path: string, init: RequestInit, instance: string][] = [
  ["a header", "/", { headers: { "x-sticky-user": "beta" } }, "v2"],
  ["another value of it", "/", { headers: { "x-sticky-user": "alpha" } }, "v1"],
  ["a path below the prefix", "/beta/feature", {}, "v2"],
  ["the prefix in other spellings", "//x/../%62eta", {}, "v2"],
  ["a path that only begins like it", "/Beta", {}, "v1"],
  ["a method", "/", { method: "DELETE" }, "v2"],
  ["an expression and a parameter", "/items/42/reviews?beta=1", {}, "v2"],
  ["the expression alone", "/items/42/reviews?beta=2", {}, "v1"],
  ["a cookie", "/", { headers: { cookie: "a=b; group=user-b" } }, "v2"],
  ["a template", "/users/7/orders", {}, "v2"],
  ["a gRPC service", "/shop.v1.Payment/Charge", { method: "POST", body: "" }, "v2"],
  ["the caller", "/whoever", {}, "v2"],
  ["not the labels of another instance", "/who", {}, "v1"],
  ["nothing in particular", "/", {}, "v1"],
];
for (const [name, path, init, instance] of ROWS) {
  test(`${name} decides: ${path}`, async () => {
    for (let round = 0; round < 3; round++) expect(await instanceAt(path, init)).toBe(instance);
  });
}

test("the rule is named in the log", async () => {
  const response = await hops.call("/beta/named");
  expect(response.status).toBe(200);
  expect((await hops.line("/beta/named")).policy_origin).toMatch(/^shop\/catalog\[0\]@\d+$/);
});

test("least request spreads over the live endpoints", async () => {
  const seen = new Set<string>();
  await eventually(async () => {
    seen.add(await instanceAt("/anywhere"));
    expect([...seen].sort()).toEqual(["v1", "v2"]);
  });
});

test("a sidecar dies without a word, under load: with retries, no request fails", async () => {
  const traffic = startTraffic(() => hops.call("/anywhere"));
  await eventually(() => expect(traffic.answered).toBeGreaterThan(100));
  await v2.crash();
  const before = traffic.answered;
  await eventually(() => expect(traffic.answered).toBeGreaterThan(before + 500));
  expect(await traffic.stop()).toEqual([]);
  // All that time it was still counted on.
  await hops.reaches(2);
}, 20_000);
