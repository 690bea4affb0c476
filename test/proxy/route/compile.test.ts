import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { SnapshotMatcher } from "../../../src/projections/snapshot.ts";
import { compileRoutes, type Random, type Routing } from "../../../src/proxy/route/compile.ts";
import { compileMatch } from "../../../src/proxy/route/match.ts";
import { pathEnd } from "../../../src/proxy/route/path.ts";
import { routeRule, snapshot, upstream } from "../fixture.ts";

const neverDrawn: Random = () => {
  throw new Error("nothing here is left to chance");
};

function request(authority: string, headers: string[] = [], method = "GET") {
  return { method, authority, headers };
}

/** What a test compares: where it goes, by names. */
function outcome(routing: Routing): string {
  if (routing.kind === "miss") return `${routing.reason} ${routing.service ?? "-"}`;
  return `${routing.upstream.ref} ${routing.subset?.name ?? "*"} by ${routing.rule.name}`;
}

const canary = routeRule(
  { match: [{ headers: { "x-sticky-user": { exact: "beta" } } }], backends: [{ subset: "v2", weight: 1 }] },
  0,
);
const split = routeRule(
  {
    backends: [
      { subset: "v1", weight: 90 },
      { subset: "v2", weight: 10 },
    ],
    timeoutMs: 3000,
  },
  1,
);
const catalog = upstream("shop", "catalog", {
  subsets: { v1: { version: "v1" }, v2: { version: "v2" } },
  routes: [canary, split],
});

describe("compileRoutes", () => {
  const table = compileRoutes(
    snapshot({
      upstreams: {
        "shop/catalog": catalog,
        "shop/orders": upstream("shop", "orders"),
        "bank/ledger": upstream("bank", "ledger", { routes: [routeRule({ match: [{ methods: ["POST"] }] })] }),
        "shop/empty": upstream("shop", "empty", { routes: [routeRule({ backends: [{ weight: 0 }] })] }),
        "shop/ghost": upstream("shop", "ghost", { routes: [routeRule({ backends: [{ subset: "v9", weight: 1 }] })] }),
      },
      unreachable: ["payment"],
    }),
  );

  test.each([
    ["the whole service where it has no routes", request("orders:8080"), "shop/orders * by default"],
    [
      "the first rule that matches",
      request("catalog", ["x-sticky-user", "beta"]),
      "shop/catalog v2 by shop/catalog[0]",
    ],
    ["a rule without backends", request("ledger.bank", [], "POST"), "bank/ledger * by shop/catalog[0]"],
    ["no rule matches", request("ledger.bank"), "no_route bank/ledger"],
    ["another namespace's short name", request("ledger"), "unknown_host -"],
    ["a stranger", request("example.com"), "unknown_host -"],
    ["known, but out of reach", request("payment.shop.mesh.local"), "unreachable shop/payment"],
    ["every weight is 0", request("empty"), "no_backend shop/empty"],
    ["a subset that does not exist", request("ghost"), "no_backend shop/ghost"],
  ])("%s", (_, head, expected) => {
    expect(outcome(table.route(head, "/", neverDrawn))).toBe(expected);
  });

  test("draws by weight at the borders of the cumulative table", () => {
    const draw = (value: number) => outcome(table.route(request("catalog"), "/", () => value));
    expect(draw(0)).toBe("shop/catalog v1 by shop/catalog[1]");
    expect(draw(0.8999)).toBe("shop/catalog v1 by shop/catalog[1]");
    expect(draw(0.9)).toBe("shop/catalog v2 by shop/catalog[1]");
    expect(draw(0.9999999999999999)).toBe("shop/catalog v2 by shop/catalog[1]");
  });

  test("names cluster, timeout and origin, and answers with the same object each time", () => {
    const first = table.route(request("catalog"), "/a", () => 0.5);
    expect(first).toBe(table.route(request("catalog.shop"), "/b?c", () => 0.1));
    expect(first).toMatchObject({
      cluster: "outbound|8080|v1|catalog.shop.mesh.local",
      rule: { timeoutMs: 3000, origin: split.origin },
      subset: { labels: { version: "v1" } },
    });
  });

  test("never draws weight 0, and each backend exactly by its share of evenly spread tickets", () => {
    const weights = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(weights, (list) => {
        const names = list.map((_, index) => `v${index}`);
        const total = list.reduce((sum, weight) => sum + weight, 0);
        const one = compileRoutes(
          snapshot({
            upstreams: {
              "shop/a": upstream("shop", "a", {
                subsets: Object.fromEntries(names.map((name) => [name, { version: name }])),
                routes: [routeRule({ backends: list.map((weight, index) => ({ weight, subset: `v${index}` })) })],
              }),
            },
          }),
        );
        const drawn = new Map<string, number>();
        for (let ticket = 0; ticket < total; ticket++) {
          const routing = one.route(request("a"), "/", () => (ticket + 0.5) / total);
          const name = routing.kind === "route" ? (routing.subset?.name ?? "") : routing.reason;
          drawn.set(name, (drawn.get(name) ?? 0) + 1);
        }
        expect(names.map((name) => drawn.get(name) ?? 0)).toEqual(list);
      }),
    );
  });
});

describe("rules for some callers", () => {
  const rules = [
    routeRule({
      match: [{ from: ["shop/web"], fromLabels: { tier: "beta" } }],
      backends: [{ subset: "v2", weight: 1 }],
    }),
    routeRule({ match: [{ from: ["bank/*"] }, { from: ["shop/other"] }], backends: [{ weight: 0 }] }, 1),
    routeRule({ match: [{ from: ["shop/*"], path: { prefix: "/web" } }], timeoutMs: 7 }, 2),
  ];
  const source = upstream("shop", "a", { subsets: { v2: { version: "v2" } }, routes: rules });
  const tableFor = (labels?: Record<string, string>) =>
    compileRoutes(snapshot({ upstreams: { "shop/a": source } }), labels);
  const outcome = (labels: Record<string, string> | undefined, path: string): string => {
    const routing = tableFor(labels).route(request("a"), path, () => 0);
    return routing.kind === "miss" ? routing.reason : routing.rule.name;
  };

  test("those for others are passed by, and what is left is not everything", () => {
    expect(outcome({ tier: "beta" }, "/")).toBe("shop/catalog[0]");
    expect(outcome({ tier: "prod" }, "/")).toBe("no_route");
    expect(outcome(undefined, "/web/x")).toBe("shop/catalog[2]");
    expect(outcome(undefined, "/x")).toBe("no_route");
  });
});

describe("compileMatch", () => {
  const holds = (matcher: SnapshotMatcher, target: string, headers: string[] = [], method = "GET") =>
    compileMatch([matcher])(request("catalog.shop", headers, method), target, pathEnd(target));

  test.each([
    [{ exact: "/charge" }, "/charge", true],
    [{ exact: "/charge" }, "/charge?x=1", true],
    [{ exact: "/charge" }, "/charge/", false],
    [{ exact: "/charge" }, "/charg", false],
    [{ exact: "/charge" }, "/charges", false],
    [{ exact: "/caf%c3%a9" }, "/caf%C3%A9", true],
    [{ prefix: "/charge" }, "/charge", true],
    [{ prefix: "/charge" }, "/charge?x", true],
    [{ prefix: "/charge" }, "/charge/x", true],
    [{ prefix: "/charge" }, "/charges", false],
    [{ prefix: "/charge" }, "/charg?e", false],
    [{ prefix: "/charge" }, "/?/charge", false],
    [{ prefix: "/a?b" }, "/a?b/c", false],
    [{ prefix: "/charge/" }, "/charge", true],
    [{ prefix: "/charge/" }, "/charge/x", true],
    [{ prefix: "/charge/" }, "/charges", false],
    [{ prefix: "/" }, "/", true],
    [{ prefix: "/" }, "/anything", true],
    [{ prefix: "/" }, "*", true],
  ])("path %j against %j: %p", (path, target, expected) => {
    expect(holds({ path }, target)).toBe(expected);
  });

  test.each([
    [{ exact: "beta" }, ["x-user", "beta"], true],
    [{ exact: "beta" }, ["x-user", "Beta"], false],
    [{ exact: "beta" }, ["x-user", "beta2"], false],
    [{ exact: "beta" }, ["beta", "x-user"], false],
    [{ exact: "beta" }, ["x-user", "beta", "x-user", "gamma"], false],
    [{ exact: "beta,gamma" }, ["x-user", "beta", "a", "b", "x-user", "gamma"], true],
    [{ exact: "" }, ["x-user", ""], true],
    [{ exact: "" }, [], false],
    [{ prefix: "be" }, ["a", "b", "x-user", "beta"], true],
    [{ prefix: "be" }, ["x-user", "abe"], false],
    [{ prefix: "be" }, [], false],
    [{ present: true }, ["x-user", ""], true],
    [{ present: true }, ["x", "x-user"], false],
    [{ present: false }, [], true],
    [{ present: false }, ["x-user", ""], false],
  ])("header %j against %j: %p", (value, headers, expected) => {
    expect(holds({ headers: { "X-User": value } }, "/", headers)).toBe(expected);
  });

  test.each([
    [{ suffix: "ta" }, ["x-user", "beta"], true],
    [{ suffix: "ta" }, ["x-user", "tab"], false],
    [{ contains: "et" }, ["x-user", "beta"], true],
    [{ contains: "et" }, [], false],
    [{ regex: "b.*a" }, ["x-user", "beta"], true],
    [{ regex: "b.*" }, ["x-user", "a beta"], false],
    [{ not: { exact: "beta" } }, ["x-user", "alpha"], true],
    [{ not: { exact: "beta" } }, [], true],
    [{ not: { prefix: "be" } }, ["x-user", "beta"], false],
  ])("header %j against %j: %p, in the longer ways", (value, headers, expected) => {
    expect(holds({ headers: { "x-user": value } }, "/", headers)).toBe(expected);
  });

  test.each([
    [{ regex: "/items/[0-9]+" }, "/items/42?x=/y", true],
    [{ regex: "/items/[0-9]+" }, "/items/new", false],
    [{ template: "/users/{id}/orders" }, "/users/7/orders?all", true],
    [{ template: "/users/{id}/orders" }, "/users/7/8/orders", false],
    [{ template: "/**/health" }, "/a/b/health", true],
  ])("path %j against %j: %p, in the longer ways", (path, target, expected) => {
    expect(holds({ path }, target)).toBe(expected);
  });

  test.each([
    [{ beta: { exact: "1" } }, "/?beta=1", true],
    [{ beta: { exact: "1" } }, "/?a=b&beta=1&beta=2", true],
    [{ beta: { exact: "1" } }, "/?beta=2&beta=1", false],
    [{ beta: { present: true } }, "/?beta", true],
    [{ beta: { present: true } }, "/beta", false],
    [{ "a b": { exact: "c&d" } }, "/?a+b=c%26d", true],
  ])("query %j of %j: %p", (query, target, expected) => {
    expect(holds({ query }, target)).toBe(expected);
  });

  test.each([
    [{ group: { exact: "b" } }, ["cookie", "id=1; group=b"], true],
    [{ group: { exact: "b" } }, ["cookie", "id=1", "cookie", "group=b"], true],
    [{ group: { exact: "b" } }, ["cookie", "subgroup=b"], false],
    [{ group: { present: false } }, ["x", "group=b"], true],
  ])("cookie %j of %j: %p", (cookies, headers, expected) => {
    expect(holds({ cookies }, "/", headers)).toBe(expected);
  });

  test.each([
    [[{ service: "shop.v1.Payment" }], "/shop.v1.Payment/Charge", "POST", true],
    [[{ service: "shop.v1.Payment" }], "/shop.v1.Payment/Charge", "GET", false],
    [[{ service: "shop.v1.*" }], "/shop.v1.Cart/Add", "POST", true],
    [[{ service: "shop.v1.Payment", methods: ["Refund"] }], "/shop.v1.Payment/Charge", "POST", false],
  ])("gRPC %j against %j: %p %p", (grpc, target, method, expected) => {
    expect(holds({ grpc }, target, [], method)).toBe(expected);
  });

  test.each([
    ["catalog.shop", undefined, [8080], true],
    ["catalog.shop:9090", undefined, [8080], false],
    ["catalog.shop:9090", undefined, [9090], true],
    ["catalog.shop", 9090, [9090], true],
    ["catalog.shop:1", 9090, [9090], true],
    ["catalog.shop:1", undefined, [8080], true],
  ])("a call of %j over a connection to %p is for a port of %j: %p", (authority, connectedPort, ports, expected) => {
    const matches = compileMatch(
      [{ ports }],
      [
        { port: 8080, protocol: "http" },
        { port: 9090, protocol: "http" },
      ],
    );
    expect(matches({ ...request(authority), connectedPort }, "/", 1)).toBe(expected);
  });

  test("`host` is the authority", () => {
    expect(holds({ headers: { host: { prefix: "catalog" } } }, "/")).toBe(true);
    expect(holds({ headers: { host: { exact: "other" } } }, "/")).toBe(false);
  });

  test("fields of one match hold together, matches of a rule are alternatives", () => {
    const both: SnapshotMatcher = {
      methods: ["GET", "HEAD"],
      path: { prefix: "/a" },
      headers: { x: { present: true } },
    };
    expect(holds(both, "/a", ["x", "1"])).toBe(true);
    expect(holds(both, "/a", ["x", "1"], "POST")).toBe(false);
    expect(holds(both, "/a", ["x", "1"], "get")).toBe(false);
    expect(holds(both, "/b", ["x", "1"])).toBe(false);
    expect(holds(both, "/a")).toBe(false);
    const either = compileMatch([both, { path: { exact: "/z" } }]);
    expect(either(request("a"), "/z", 2)).toBe(true);
    expect(either(request("a"), "/y", 2)).toBe(false);
    expect(compileMatch([{}])(request("a"), "/y", 2)).toBe(true);
  });
});
