/** Rules by the order of their document, and the same rules by how exact they are, at a real caller's sidecar. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { openToWeb } from "../../support/policy.ts";
import { TwoHops } from "../../support/two-hops.ts";

/** Least exact first, so that by the document's order the first takes everything. */
const MATCHES = [
  "{}",
  "{ query: { a: { present: true } } }",
  "{ headers: { x-a: { present: true } } }",
  "{ headers: { x-a: { present: true }, x-b: { present: true } } }",
  "{ methods: [PUT] }",
  "{ path: { prefix: /a } }",
  "{ path: { prefix: /a/b } }",
  "{ path: { exact: /a } }",
];

function policy(precedence: string): string {
  const rules = MATCHES.map((match, index) => `{ match: [${match}], respond: { status: 200, body: rule ${index} } }`);
  return `
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec: { service: catalog, ${precedence} rules: [${rules.join(", ")}] }
---
${openToWeb("catalog")}`;
}

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: policy("") });
});
afterAll(() => hops.stop());

const ROWS: [path: string, init: RequestInit, rule: number][] = [
  ["/", {}, 0],
  ["/?a=1", {}, 1],
  ["/?a=1", { headers: { "x-a": "1" } }, 2],
  ["/?a=1", { headers: { "x-a": "1", "x-b": "1" } }, 3],
  ["/", { method: "PUT", headers: { "x-a": "1", "x-b": "1" } }, 4],
  ["/a/c?a=1", { method: "PUT", headers: { "x-a": "1", "x-b": "1" } }, 5],
  ["/a/b/c", {}, 6],
  ["/a", { method: "PUT", headers: { "x-a": "1" } }, 7],
];

async function found(): Promise<string[]> {
  return Promise.all(ROWS.map(async ([path, init]) => (await hops.call(path, init)).text()));
}

test("the first that matches decides, unless the document asks for Gateway API's precedence", async () => {
  expect(new Set(await found())).toEqual(new Set(["rule 0"]));
  await hops.apply(policy("precedence: gateway-api,"));
  expect(await found()).toEqual(ROWS.map(([, , rule]) => `rule ${rule}`));
  await hops.apply(policy(""));
  expect(new Set(await found())).toEqual(new Set(["rule 0"]));
});
