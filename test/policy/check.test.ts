import { describe, expect, test } from "bun:test";
import { checkDocuments, EMPTY_MESH, type Finding, type KnownMesh } from "../../src/policy/check.ts";
import { type PolicyDocument, policyDocument, type RouteRule } from "../../src/policy/schema.ts";

function document(kind: string, name: string, spec: object, namespace = "shop"): PolicyDocument {
  return policyDocument.parse({ apiVersion: "heddle/v1", kind, metadata: { namespace, name }, spec });
}

const http = [{ port: 8080, protocol: "http" }];
const plain = document("Service", "web", { ports: http });
const catalog = document("Service", "catalog", {
  ports: http,
  subsets: { v1: { version: "1" }, v2: { version: "2" } },
});
const route = (name: string, ...rules: object[]): PolicyDocument =>
  document("Route", name, { service: "catalog", rules });

/** A mesh that holds the given documents. */
function meshOf(...documents: PolicyDocument[]): KnownMesh {
  return {
    service: (namespace, name) => {
      const found = documents.find(
        ({ kind, metadata }) =>
          kind === "Service" && "namespace" in metadata && metadata.namespace === namespace && metadata.name === name,
      );
      return found?.kind === "Service" ? found.spec : undefined;
    },
    routes: (namespace, service) => {
      const routes: { name: string; rules: RouteRule[] }[] = [];
      for (const found of documents) {
        if (found.kind !== "Route" || found.metadata.namespace !== namespace || found.spec.service !== service)
          continue;
        routes.push({ name: found.metadata.name, rules: found.spec.rules });
      }
      return routes;
    },
  };
}

const lines = (findings: readonly Finding[]): string[] =>
  findings.map(({ key, path, message }) => `${key} ${path.join(".")} ${message}`);

function errors(documents: PolicyDocument[], known: KnownMesh = EMPTY_MESH): string[] {
  const result = checkDocuments(documents, known);
  expect(lines(result.warnings)).toEqual([]);
  return lines(result.errors);
}

function warnings(documents: PolicyDocument[], known: KnownMesh = EMPTY_MESH): string[] {
  const result = checkDocuments(documents, known);
  expect(lines(result.errors)).toEqual([]);
  return lines(result.warnings);
}

describe("errors", () => {
  test("a service that nobody declares", () => {
    expect(errors([document("RateLimit", "r", { service: "pay", rules: [{ requests: 1, per: "1s" }] })])).toEqual([
      "RateLimit/shop/r spec.service there is no service shop/pay; declare it in a Service document",
    ]);
    expect(errors([catalog, document("Route", "r", { service: "catlog", rules: [{}] })])).toEqual([
      "Route/shop/r spec.service there is no service shop/catlog; did you mean catalog?",
    ]);
    expect(
      errors([document("AccessPolicy", "a", { service: "catalog", rules: [{ deny: {} }] }, "other"), catalog]),
    ).toEqual([
      "AccessPolicy/other/a spec.service there is no service other/catalog; declare it in a Service document",
    ]);
  });

  test("the mesh's services count", () => {
    expect(errors([route("r", {})], meshOf(catalog))).toEqual([]);
  });

  test("a subset that does not exist, with those that do", () => {
    expect(errors([catalog, route("r", { backends: [{ subset: "v1" }, { subset: "v3" }] })])).toEqual([
      "Route/shop/r spec.rules.0.backends.1.subset there is no subset v3; there are: v1, v2",
    ]);
    const bare = document("Service", "catalog", { ports: http });
    expect(errors([route("r", { backends: [{ subset: "constructor" }] })], meshOf(bare))).toEqual([
      "Route/shop/r spec.rules.0.backends.0.subset there is no subset constructor; the service declares none",
    ]);
  });

  test("a service that drops a subset still routed to", () => {
    const fewer = document("Service", "catalog", { ports: http, subsets: { v2: {} } });
    const known = meshOf(
      catalog,
      route("r", { backends: [{ subset: "v1" }, { subset: "v2" }] }, { backends: [{ subset: "v1" }] }),
    );
    expect(errors([fewer], known)).toEqual([
      "Service/shop/catalog spec.subsets subset v1 is gone, and Route/shop/r still sends traffic to it; change the route first or in the same apply",
    ]);
    expect(errors([fewer, route("r", { backends: [{ subset: "v2" }] })], known)).toEqual([]);
  });

  test("weights that add up to nothing", () => {
    expect(
      errors([
        catalog,
        route("r", {
          backends: [
            { subset: "v1", weight: 0 },
            { subset: "v2", weight: 0 },
          ],
        }),
      ]),
    ).toEqual(["Route/shop/r spec.rules.0.backends all weights are 0, so no request has anywhere to go"]);
  });

  test("a backend listed twice", () => {
    expect(errors([catalog, route("r", { backends: [{ subset: "v1" }, { subset: "v1" }, {}, {}] })])).toEqual([
      "Route/shop/r spec.rules.0.backends.1 subset v1 is listed twice; add up the weights",
      "Route/shop/r spec.rules.0.backends.3 the whole service is listed twice; add up the weights",
    ]);
  });

  test("two routes for one service", () => {
    const message = "shop/catalog already has Route/shop/a; put the rules of both into one Route";
    expect(errors([catalog, route("a", {}), route("b", {})])).toEqual([`Route/shop/b spec.service ${message}`]);
    expect(errors([route("b", {})], meshOf(catalog, route("a", {})))).toEqual([`Route/shop/b spec.service ${message}`]);
    expect(errors([route("a", {})], meshOf(catalog, route("a", {})))).toEqual([]);
  });

  test("a route that moves to another service makes room", () => {
    const moved = document("Route", "a", { service: "web", rules: [{}] });
    expect(errors([moved, route("b", {})], meshOf(plain, catalog, route("a", {})))).toEqual([]);
  });

  test("a port listed twice", () => {
    expect(errors([document("Service", "s", { ports: [...http, ...http] })])).toEqual([
      "Service/shop/s spec.ports.1.port port 8080 is listed twice",
    ]);
  });

  test("a document declared twice", () => {
    expect(errors([plain, plain])).toEqual(["Service/shop/web  Service/shop/web is declared twice"]);
  });
});

describe("warnings", () => {
  test("a failover that leads to no service", () => {
    const failing = (failover: string): PolicyDocument => {
      const { spec, ...rest } = catalog as Extract<PolicyDocument, { kind: "Service" }>;
      return { ...rest, spec: { ...spec, loadBalancer: { failover } } };
    };
    expect(warnings([failing("nobody")])).toEqual([
      "Service/shop/catalog spec.loadBalancer.failover there is no service shop/nobody",
    ]);
    expect(lines(checkDocuments([failing("shop/catalog")], EMPTY_MESH).errors)).toEqual([
      "Service/shop/catalog spec.loadBalancer.failover is the service itself",
    ]);
  });

  test.each([[{}], [{ match: [{ methods: ["GET"] }, {}] }], [{ match: [{ path: { prefix: "/" }, headers: {} }] }]])(
    "a rule behind %j is never reached",
    (rule) => {
      expect(warnings([catalog, route("r", rule, { timeout: "1s" })])).toEqual([
        "Route/shop/r spec.rules.1 is never reached: rules[0] already takes every request",
      ]);
    },
  );

  test.each([
    [{ match: [{ path: { exact: "/" } }] }],
    [{ match: [{ path: { prefix: "/" }, methods: ["GET"] }] }],
    [{ match: [{ headers: { a: { present: true } } }] }],
  ])("a rule behind %j can be reached", (rule) => {
    expect(warnings([catalog, route("r", rule, { timeout: "1s" })])).toEqual([]);
  });

  test("a try that outlives its request", () => {
    const retries = { attempts: 1, perTryTimeout: "1m1s" };
    expect(warnings([catalog, route("r", { timeout: "1m", retries })])).toEqual([
      "Route/shop/r spec.rules.0.retries.perTryTimeout 1m1s is longer than the rule's timeout of 1m, which ends the request first",
    ]);
    expect(warnings([catalog, route("r", { timeout: "2m", retries })])).toEqual([]);
    expect(warnings([catalog, route("r", { retries })])).toEqual([]);
  });

  test("a weight missing among weights", () => {
    expect(warnings([catalog, route("r", { backends: [{ subset: "v1", weight: 90 }, { subset: "v2" }] })])).toEqual([
      "Route/shop/r spec.rules.0.backends.1 has no weight and counts as 1 beside backends that have one; give each a weight",
    ]);
    expect(warnings([catalog, route("r", { backends: [{ subset: "v1" }, { subset: "v2" }] })])).toEqual([]);
  });

  test("a caller that nobody declares", () => {
    const policy = document("AccessPolicy", "a", {
      service: "catalog",
      rules: [{ allow: { from: ["shop/wen", "shop/*", "*", "shop/web"] } }, { deny: { from: ["far/away"] } }],
    });
    expect(warnings([catalog, plain, policy])).toEqual([
      "AccessPolicy/shop/a spec.rules.0.allow.from.0 shop/wen is not declared; did you mean shop/web?",
      "AccessPolicy/shop/a spec.rules.1.deny.from.0 far/away is not declared; the rule has no effect until it is",
    ]);
  });
});
