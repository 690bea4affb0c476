import { describe, expect, test } from "bun:test";
import { evolve } from "../../src/events/evolve.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { type Call, CallJudge } from "../../src/replay/call.ts";
import { explain } from "../../src/replay/explain.ts";
import { applied, document, service } from "../events/scenario.ts";

const policy = (name: string, dryRun: boolean, ...rules: object[]) =>
  document("AccessPolicy", `shop/${name}`, { service: "catalog", rules, ...(dryRun ? { dryRun } : {}) });

/** Everything that callers of a service can be told of how to spread, guard and repeat their calls. */
const guarded = document("Service", "shop/guarded", {
  ports: [{ port: 8080, protocol: "http" }],
  loadBalancer: { algorithm: "maglev", hash: { cookie: "session" }, slowStart: "30s", failover: "catalog" },
  connectionPool: { maxRequests: 3, idleTimeout: "1m" },
  outlierDetection: { consecutive5xx: 5, failurePercentage: { threshold: 85 } },
  healthCheck: { http: { path: "/healthz" }, interval: "2s" },
});

const state = applied(
  INITIAL_STATE,
  "shop",
  guarded,
  document("Route", "shop/guarded", {
    service: "guarded",
    rules: [
      {
        idleTimeout: "1m",
        retries: {
          attempts: 3,
          perTryTimeout: "1s",
          on: ["5xx", "retriable-status-codes"],
          statusCodes: [425],
          backoff: { base: "25ms", max: "250ms" },
          budget: { percent: 10, minPerSecond: 1 },
        },
      },
    ],
  }),
  service("shop/web"),
  service("shop/orders"),
  service("shop/catalog", ["v1"]),
  document("Route", "shop/catalog", {
    service: "catalog",
    rules: [
      { match: [{ methods: ["GET"] }], timeout: "2s", retries: { attempts: 2 }, backends: [{ subset: "v1" }] },
      { match: [{ path: { prefix: "/old" } }], redirect: { prefix: "/new" } },
      { match: [{ path: { prefix: "/x" } }], mirror: { subset: "v1", percent: 5 }, rewrite: { path: "/y" } },
    ],
  }),
  policy("front", false, { allow: { from: ["shop/web"] } }, { audit: { paths: ["/old/*"] } }),
  document("AccessPolicy", "shop/guarded", { service: "guarded", rules: [{ allow: { from: ["shop/web"] } }] }),
  policy("trial", true, { deny: { paths: ["/old/*"] } }),
);

function facts(source: string, method: string, path: string, name = "catalog"): Record<string, string> {
  const call: Call = {
    source: { namespace: "shop", name: source },
    destination: { namespace: "shop", name },
    method,
    path,
    headers: [],
  };
  const found = explain(state, call, new CallJudge(state).judge(call));
  return Object.fromEntries(found.map(({ about, text }) => [about, text]));
}

describe("a call is explained", () => {
  test("part by part", () => {
    expect(facts("web", "GET", "/items")).toMatchObject({
      service: "shop/catalog on 8080 http",
      balancing: "peak-ewma, the default",
      route: "shop/catalog rule 0 matches",
      backends: "100% shop/catalog v1",
      timeout: "2s",
      access: "allowed by shop/front[0]@1",
      "rate limit": "none",
      result: "allowed: it reaches shop/catalog",
    });
  });

  test("with how its caller spreads, guards and repeats it", () => {
    expect(facts("web", "GET", "/items", "guarded")).toMatchObject({
      balancing: "maglev, hash { cookie: session }, slowStart 30s, failover catalog",
      circuit: "maxRequests 3, idleTimeout 1m",
      outliers: "consecutive5xx 5, failurePercentage { threshold: 85 }",
      health: "http { path: /healthz }, interval 2s",
      "idle timeout": "1m",
      retries:
        "up to 3 of 1s each on 5xx, retriable-status-codes (425), after 25ms to 250ms, at most 10% of the requests and 1 a second",
    });
  });

  test("with what the rule does beside", () => {
    expect(facts("web", "POST", "/old/a")).toMatchObject({
      redirect: "{ prefix: /new }",
      result: "answered by the caller's own sidecar: the rule redirects, or has a response of its own",
    });
    expect(facts("web", "POST", "/x")).toMatchObject({
      mirror: "{ subset: v1, percent: 5 }",
      rewrite: "{ path: /y }",
      result: "allowed: it reaches shop/catalog",
    });
  });

  test.each([
    ["no rule of the route matches", "web", "POST", "/items", "answered with 404: no rule of the route matches"],
    [
      "nothing allows the caller",
      "orders",
      "GET",
      "/items",
      "denied by the caller's own sidecar: nothing allows this caller any call of the service",
    ],
    ["nobody knows the caller", "nobody", "GET", "/items", "not possible: the mesh has no such caller"],
    [
      "the path can be read in two ways",
      "web",
      "GET",
      "/a%2f..%2fb",
      "refused with 400: the path can be read in more than one way (path_ambiguous_dot_segment)",
    ],
  ])("where %s", (_, source, method, path, result) => {
    expect(facts(source, method, path).result).toBe(result);
  });

  test("with what is only tried out", () => {
    const found = explainAudit("/old/items");
    expect(found).toEqual([
      "noted by the audit rule shop/front[1]@1",
      "would be denied, were the policies in dry run in force, by shop/trial[0]@1",
    ]);
    expect(explainAudit("/new")).toEqual([]);
  });
});

function explainAudit(path: string): string[] {
  const call: Call = {
    source: { namespace: "shop", name: "web" },
    destination: { namespace: "shop", name: "catalog" },
    method: "GET",
    path,
    headers: [],
  };
  const found = explain(state, call, new CallJudge(state).judge(call));
  return found.filter(({ about }) => about === "audit").map(({ text }) => text);
}

test("a service of another mesh: where it is, and that nobody can be it while its trust domain is not trusted", () => {
  const identity = "spiffe://other.local/ns/shop/sa/pay";
  const external = { identity, addresses: ["10.0.0.1:15006"] };
  const declared = applied(
    state,
    "shop",
    document("Service", "shop/pay", { ports: [{ port: 8080, protocol: "http" }], external }),
    document("AccessPolicy", "shop/pay", { service: "pay", rules: [{ allow: { from: ["shop/web"] } }] }),
  );
  const call: Call = {
    source: { namespace: "shop", name: "web" },
    destination: { namespace: "shop", name: "pay" },
    method: "GET",
    path: "/",
    headers: [],
  };
  const resultIn = (mesh: typeof state): string[] =>
    explain(mesh, call, new CallJudge(mesh).judge(call))
      .filter(({ about }) => about === "external" || about === "result")
      .map(({ text }) => text);
  const whose = `identity "${identity}", addresses ["10.0.0.1:15006"]`;
  expect(resultIn(declared)).toEqual([whose, expect.stringContaining("not trusted (heddle ca federate)")]);
  const event = { type: "FederationTrusted" as const, trustDomain: "other.local", roots: ["-"] };
  const trusted = evolve(declared, event, { revision: 9, actor: "", time: "" });
  expect(resultIn(trusted)).toEqual([whose, "allowed: it reaches shop/pay"]);
});

test("users without a cookie that the mesh issues come to the shares of the weights", () => {
  const split = document("Route", "shop/catalog", {
    service: "catalog",
    rules: [
      {
        sticky: { cookie: "group", issue: { ttl: "8h" } },
        backends: [
          { subset: "v1", weight: 99 },
          { service: "orders", weight: 1 },
        ],
      },
    ],
  });
  const next = applied(state, "shop", split);
  const call: Call = {
    source: { namespace: "shop", name: "web" },
    destination: { namespace: "shop", name: "catalog" },
    method: "GET",
    path: "/",
    headers: [],
  };
  const { outcomes } = new CallJudge(next).judge(call);
  expect(outcomes.map(({ service: to, share }) => [to, share])).toEqual([
    ["shop/catalog", 0.99],
    ["shop/orders", 0.01],
  ]);
});
