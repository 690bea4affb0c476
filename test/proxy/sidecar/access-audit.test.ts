/** Rules that decide nothing: what they would do is counted and logged, and nobody else notices. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { eventually } from "../../support/mesh.ts";
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
    - audit: { methods: [DELETE], sni: ["catalog.shop.mesh.local"], ipBlocks: [127.0.0.0/8], ports: [8080] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: strict }
spec:
  service: catalog
  dryRun: true
  rules:
    - deny: { paths: ["/secret/{id}"], notHeaders: { x-key: { present: true } } }
`;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
});
afterAll(() => hops.stop());

interface AuditLine {
  readonly path: string;
  readonly response_code: number;
  readonly requested_server_name: string;
  readonly policy_audit?: readonly string[];
}

async function logged(path: string): Promise<AuditLine> {
  return eventually(async () => {
    const lines = (await readFile(hops.catalog.accessLogFile, "utf8")).split("\n").filter((text) => text !== "");
    const found = lines.map((text) => JSON.parse(text) as AuditLine).find((line) => line.path === path);
    if (found === undefined) throw new Error(`no line for ${path} yet`);
    return found;
  });
}

async function counted(rule: string, outcome: string): Promise<number> {
  const page = await hops.metrics(hops.catalog);
  const line = page
    .split("\n")
    .find((text) => text.includes(`rule="${rule}"`) && text.includes(`outcome="${outcome}"`));
  return Number(line?.split(" ").at(-1) ?? 0);
}

test("an audit rule lets its calls through, and counts and logs them", async () => {
  expect((await hops.call("/audited", { method: "DELETE" })).status).toBe(200);
  expect((await hops.call("/unaudited")).status).toBe(200);
  const { policy_audit, requested_server_name } = await logged("/audited");
  expect(policy_audit).toEqual([expect.stringMatching(/^would_match shop\/storefront\[1\]@\d+$/)]);
  expect(requested_server_name).toBe("catalog.shop.mesh.local");
  expect((await logged("/unaudited")).policy_audit).toBeUndefined();
  expect(await counted("shop/storefront[1]", "would_match")).toBe(1);
});

test("a policy in dry run says what it would deny; in force, it denies it", async () => {
  expect((await hops.call("/secret/1")).status).toBe(200);
  expect((await hops.call("/secret/2", { headers: { "x-key": "k" } })).status).toBe(200);
  expect((await logged("/secret/1")).policy_audit).toEqual([
    expect.stringMatching(/^would_deny shop\/strict\[0\]@\d+$/),
  ]);
  expect((await logged("/secret/2")).policy_audit).toBeUndefined();
  expect(await counted("shop/strict[0]", "would_deny")).toBe(1);

  await hops.mesh.apply(POLICY.replace("dryRun: true", "dryRun: false"));
  await eventually(async () => {
    const denied = await hops.call("/secret/3");
    expect(denied.status).toBe(403);
    expect(denied.headers.get("x-heddle-denied")).toContain("the deny rule shop/strict[0]@");
  });
  expect((await hops.call("/secret/4", { headers: { "x-key": "k" } })).status).toBe(200);
});
