/** The examples of routing: each is applied as it stands, and sends calls where its README says. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compileSnapshot } from "../../src/projections/compile-snapshot.ts";
import { compileRoutes } from "../../src/proxy/route/compile.ts";
import { TestLedger } from "../support/ledger.ts";
import { seededRandom } from "../support/random.ts";

/** What web's sidecar makes of a call of catalog: where it goes, and what the rule does beside. */
function router(example: string): (path: string, headers: readonly string[], random: () => number) => string {
  const ledger = new TestLedger();
  ledger.apply(readFileSync(join(import.meta.dir, "../../examples", example, "policy.yaml"), "utf8"));
  const snapshot = compileSnapshot(ledger.state, { namespace: "shop", name: "web" });
  if (snapshot === undefined) throw new Error("the example declares no web");
  const table = compileRoutes(snapshot);
  return (path, headers, random) => {
    const routing = table.route({ method: "GET", authority: "catalog", headers: [...headers] }, path, random);
    if (routing.kind === "miss") return routing.reason;
    const { upstream, subset, rule } = routing;
    const filters = Object.entries(rule.filters ?? {}).flatMap(([name, filter]) =>
      filter === undefined ? [] : [name],
    );
    return [`${upstream.name} ${subset?.name ?? "*"}`, ...filters].join(", ");
  };
}

test.each<[string, string, string[], number, string]>([
  ["routing", "/healthz", [], 0, "catalog *, respond"],
  ["routing", "/shop/items/1", [], 0, "catalog *, redirect"],
  ["routing", "/api/v1/x", [], 0, "catalog *, rewrite"],
  ["routing", "/items/42?preview=1", [], 0, "catalog v2"],
  ["routing", "/upload", [], 0, "catalog *, requestBytesMax"],
  ["routing", "/public/x", [], 0, "catalog *, cors"],
  ["routing", "/else", [], 0, "catalog *"],
  ["canary", "/", ["cookie", "beta=1"], 0, "catalog v2"],
  ["canary", "/next", [], 0, "catalog-next *"],
  ["mirroring", "/", [], 0, "catalog v1, mirror"],
  ["faults", "/", ["x-chaos", "down"], 0, "catalog *, fault"],
  ["faults", "/", [], 0, "catalog *"],
])("%s: %s %j drawn at %p goes to %s", (example, path, headers, random, outcome) => {
  expect(router(example)(path, headers, () => random)).toBe(outcome);
});

test("canary: one in a hundred new users goes to v2, and each user stays where the cookie says", () => {
  const route = router("canary");
  const random = seededRandom(1);
  const calls = 10_000;
  let canary = 0;
  for (let call = 0; call < calls; call++) if (route("/", [], random) === "catalog v2") canary++;
  // Four standard deviations of a binomial of 10,000 at 1 %: 100 ± 40.
  expect(Math.abs(canary - calls / 100)).toBeLessThan(40);

  const users = Array.from({ length: 1000 }, (_, user) => ["cookie", `user=${user}`]);
  const placed = users.map((cookie) => route("/", cookie, random));
  expect(new Set(placed)).toEqual(new Set(["catalog v1", "catalog v2"]));
  expect(users.map((cookie) => route("/", cookie, random))).toEqual(placed);
});
