/** The examples of routing: each is applied as it stands, and sends calls where its README says. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compileSnapshot } from "../../src/projections/compile-snapshot.ts";
import { compileRoutes } from "../../src/proxy/route/compile.ts";
import { TestLedger } from "../support/ledger.ts";

/** What web's sidecar makes of a call of catalog: where it goes, and what the rule does beside. */
function routed(example: string, path: string, headers: readonly string[] = [], random = 0): string {
  const ledger = new TestLedger();
  ledger.apply(readFileSync(join(import.meta.dir, "../../examples", example, "policy.yaml"), "utf8"));
  const snapshot = compileSnapshot(ledger.state, { namespace: "shop", name: "web" });
  if (snapshot === undefined) throw new Error("the example declares no web");
  const table = compileRoutes(snapshot);
  const request = { method: "GET", authority: "catalog", headers: [...headers] };
  const routing = table.route(request, path, () => random);
  if (routing.kind === "miss") return routing.reason;
  const { upstream, subset, rule } = routing;
  const filters = Object.entries(rule.filters ?? {}).flatMap(([name, filter]) => (filter === undefined ? [] : [name]));
  return [`${upstream.name} ${subset?.name ?? "*"}`, ...filters].join(", ");
}

test.each<[string, string, string[], number, string]>([
  ["routing", "/healthz", [], 0, "catalog *, respond"],
  ["routing", "/shop/items/1", [], 0, "catalog *, redirect"],
  ["routing", "/api/v1/x", [], 0, "catalog *, rewrite"],
  ["routing", "/items/42?preview=1", [], 0, "catalog v2"],
  ["routing", "/upload", [], 0, "catalog *, requestBytesMax"],
  ["routing", "/public/x", [], 0, "catalog *, cors"],
  ["routing", "/else", [], 0, "catalog *"],
  ["canary", "/", [], 0.98, "catalog v1"],
  ["canary", "/", [], 0.995, "catalog v2"],
  ["canary", "/", ["cookie", "beta=1"], 0, "catalog v2"],
  ["canary", "/next", [], 0, "catalog-next *"],
  ["mirroring", "/", [], 0, "catalog v1, mirror"],
  ["faults", "/", ["x-chaos", "down"], 0, "catalog *, fault"],
  ["faults", "/", [], 0, "catalog *"],
])("%s: %s %j drawn at %p goes to %s", (example, path, headers, random, outcome) => {
  expect(routed(example, path, headers, random)).toBe(outcome);
});
