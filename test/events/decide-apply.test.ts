import { describe, expect, test } from "bun:test";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import type { PolicyDocument } from "../../src/policy/schema.ts";
import { applied, contents, decided, document, given, refused, service, types } from "./scenario.ts";

const catalog = service("shop/catalog", ["v1", "v2"]);
const web = service("shop/web");
const orders = service("shop/orders");
const canary = (v1: number, v2: number, rest: object = {}): object => ({
  backends: [
    { subset: "v1", weight: v1 },
    { subset: "v2", weight: v2 },
  ],
  ...rest,
});
const sticky = { match: [{ headers: { "x-user": { exact: "beta" } } }], backends: [{ subset: "v2" }] };
const route = (...rules: object[]) => document("Route", "shop/catalog", { service: "catalog", rules });
const policy = (...rules: object[]) => document("AccessPolicy", "shop/front", { service: "catalog", rules });
const limit = (requests: number) =>
  document("RateLimit", "shop/catalog", { service: "catalog", rules: [{ requests, per: "1s" }] });
const allow = (...from: string[]) => ({ allow: { from } });
const deny = (...paths: string[]) => ({ deny: { paths } });
const mesh = (spec: object) => document("Mesh", "_mesh/default", { trustDomain: "mesh.local", ...spec });

interface Row {
  readonly title: string;
  readonly given: PolicyDocument[];
  readonly when: PolicyDocument[];
  /** The events in full where they matter, else their types. */
  readonly expected: readonly DomainEvent[] | string;
}

const on = { namespace: "shop", name: "catalog" } as const;
const onRule = { ...on, service: "catalog", rule: 1 } as const;
const front = { namespace: "shop", name: "front", service: "catalog" } as const;

const SERVICES_AND_ROUTES: Row[] = [
  {
    title: "a new service is declared",
    given: [],
    when: [web],
    expected: [
      { type: "ServiceDeclared", namespace: "shop", name: "web", spec: { ports: [{ port: 8080, protocol: "http" }] } },
    ],
  },
  {
    title: "what comes into being stands in the order of kinds, whatever the file's",
    given: [],
    when: [policy(allow("shop/web")), route(canary(1, 1)), web, catalog],
    expected: "ServiceDeclared ServiceDeclared RouteDefined AccessPolicyDeclared AccessGranted",
  },
  {
    title: "the same documents again change nothing",
    given: [web, catalog, route(sticky, canary(90, 10))],
    when: [web, catalog, route(sticky, canary(90, 10))],
    expected: [],
  },
  { title: "what is not named stays", given: [web, catalog], when: [orders], expected: "ServiceDeclared" },
  {
    title: "durations that are equal are no change",
    given: [catalog, route(canary(1, 1, { timeout: "60s" }))],
    when: [route(canary(1, 1, { timeout: "1m" }))],
    expected: [],
  },
  {
    title: "the order of fields is no change",
    given: [catalog, route({ timeout: "1s", backends: [{ weight: 1, subset: "v1" }] })],
    when: [route({ backends: [{ subset: "v1", weight: 1 }], timeout: "1s" })],
    expected: [],
  },
  {
    title: "only weights: traffic shifted",
    given: [catalog, route(sticky, canary(90, 10))],
    when: [route(sticky, canary(50, 50))],
    expected: [{ type: "TrafficShifted", ...onRule, from: { v1: 90, v2: 10 }, to: { v1: 50, v2: 50 } }],
  },
  {
    title: "weights said where none were: traffic shifted from the default",
    given: [catalog, route(sticky, { backends: [{ subset: "v1" }, { subset: "v2" }] })],
    when: [route(sticky, canary(90, 10))],
    expected: [{ type: "TrafficShifted", ...onRule, from: { v1: 1, v2: 1 }, to: { v1: 90, v2: 10 } }],
  },
  {
    title: "weights taken away: the route anew, since no shift can unsay them",
    given: [catalog, route(sticky, canary(90, 10))],
    when: [route(sticky, { backends: [{ subset: "v1" }, { subset: "v2" }] })],
    expected: "RouteDefined",
  },
  {
    title: "only the timeout",
    given: [catalog, route(sticky, canary(1, 1))],
    when: [route(sticky, canary(1, 1, { timeout: "3s" }))],
    expected: [{ type: "RouteTimeoutSet", ...onRule, to: "3s" }],
  },
  {
    title: "the timeout taken away",
    given: [catalog, route(sticky, canary(1, 1, { timeout: "3s" }))],
    when: [route(sticky, canary(1, 1))],
    expected: [{ type: "RouteTimeoutSet", ...onRule, from: "3s" }],
  },
  {
    title: "only the retries",
    given: [catalog, route(sticky, canary(1, 1, { retries: { attempts: 1 } }))],
    when: [route(sticky, canary(1, 1, { retries: { attempts: 2 } }))],
    expected: [{ type: "RouteRetriesSet", ...onRule, from: { attempts: 1 }, to: { attempts: 2 } }],
  },
  {
    title: "weights and timeout of one rule: one event each",
    given: [catalog, route(canary(1, 1))],
    when: [route(canary(1, 3, { timeout: "1s" }))],
    expected: "TrafficShifted RouteTimeoutSet",
  },
  {
    title: "two rules: each its own event",
    given: [catalog, route({ ...sticky, timeout: "1s" }, canary(1, 1))],
    when: [route({ ...sticky, timeout: "2s" }, canary(1, 3))],
    expected: "RouteTimeoutSet TrafficShifted",
  },
  {
    title: "a match changed: the route anew",
    given: [catalog, route(sticky, canary(1, 1))],
    when: [route({ ...sticky, match: [{ methods: ["GET"] }] }, canary(1, 1))],
    expected: "RouteDefined",
  },
  {
    title: "one rule more: the route anew",
    given: [catalog, route(canary(1, 1))],
    when: [route(sticky, canary(1, 1))],
    expected: "RouteDefined",
  },
  {
    title: "one rule less: the route anew",
    given: [catalog, route(sticky, canary(1, 1))],
    when: [route(sticky)],
    expected: "RouteDefined",
  },
  {
    title: "another backend: the route anew",
    given: [catalog, route({ backends: [{ subset: "v1", weight: 1 }] })],
    when: [route({ backends: [{ subset: "v2", weight: 1 }] })],
    expected: "RouteDefined",
  },
  {
    title: "backends in another order: the route anew",
    given: [catalog, route(canary(1, 1))],
    when: [
      route({
        backends: [
          { subset: "v2", weight: 1 },
          { subset: "v1", weight: 1 },
        ],
      }),
    ],
    expected: "RouteDefined",
  },
  {
    title: "each part of a service has its event",
    given: [web],
    when: [
      document("Service", "shop/web", {
        ports: [{ port: 80, protocol: "http" }],
        subsets: { a: { version: "a" } },
        loadBalancer: { algorithm: "random" },
        connectionPool: { maxRequests: 1 },
        outlierDetection: { interval: "1s" },
        healthCheck: { tcp: {} },
        certificateTtl: "12h",
      }),
    ],
    expected:
      "ServicePortsSet SubsetsDefined LoadBalancerSet ConnectionPoolSet OutlierDetectionSet HealthCheckSet CertificateTtlSet",
  },
  {
    title: "a part taken away has no value after",
    given: [catalog],
    when: [service("shop/catalog")],
    expected: [{ type: "SubsetsDefined", ...on, from: { v1: { version: "v1" }, v2: { version: "v2" } } }],
  },
];

const ACCESS_AND_LIMITS: Row[] = [
  {
    title: "a rule more at the end",
    given: [catalog, policy(allow("shop/web"))],
    when: [policy(allow("shop/web"), allow("shop/orders"))],
    expected: [{ type: "AccessGranted", ...front, index: 1, rule: allow("shop/orders") }],
  },
  {
    title: "a rule more at the beginning leaves the others alone",
    given: [catalog, policy(allow("shop/web"))],
    when: [policy(deny("/admin"), allow("shop/web"))],
    expected: [{ type: "AccessForbidden", ...front, index: 0, rule: deny("/admin") }],
  },
  {
    title: "a rule less",
    given: [catalog, policy(allow("shop/web"), allow("shop/orders"))],
    when: [policy(allow("shop/orders"))],
    expected: [{ type: "AccessRevoked", ...front, index: 0, rule: allow("shop/web") }],
  },
  {
    title: "a deny less is a forbiddance lifted",
    given: [catalog, policy(allow("shop/web"), deny("/a"))],
    when: [policy(allow("shop/web"))],
    expected: [{ type: "AccessForbiddanceLifted", ...front, index: 1, rule: deny("/a") }],
  },
  {
    title: "a rule changed is revoked and granted",
    given: [catalog, policy(allow("shop/web"), deny("/a"))],
    when: [policy(allow("shop/orders"), deny("/a"))],
    expected: [
      { type: "AccessRevoked", ...front, index: 0, rule: allow("shop/web") },
      { type: "AccessGranted", ...front, index: 0, rule: allow("shop/orders") },
    ],
  },
  {
    title: "removals from the highest index down, then insertions upwards",
    given: [catalog, policy(deny("/1"), deny("/2"), deny("/3"))],
    when: [policy(deny("/4"), deny("/2"), deny("/5"))],
    expected: [
      { type: "AccessForbiddanceLifted", ...front, index: 2, rule: deny("/3") },
      { type: "AccessForbiddanceLifted", ...front, index: 0, rule: deny("/1") },
      { type: "AccessForbidden", ...front, index: 0, rule: deny("/4") },
      { type: "AccessForbidden", ...front, index: 2, rule: deny("/5") },
    ],
  },
  {
    title: "a policy for another service is removed and declared anew",
    given: [catalog, web, policy(allow("shop/web"), deny("/a"))],
    when: [document("AccessPolicy", "shop/front", { service: "web", rules: [allow("shop/web")] })],
    expected: "AccessForbiddanceLifted AccessRevoked AccessPolicyRemoved AccessPolicyDeclared AccessGranted",
  },
  {
    title: "a rate limit, new",
    given: [catalog],
    when: [limit(5)],
    expected: [{ type: "RateLimitSet", ...on, to: { service: "catalog", rules: [{ requests: 5, per: "1s" }] } }],
  },
  {
    title: "a rate limit, changed",
    given: [catalog, limit(5)],
    when: [limit(9)],
    expected: [
      {
        type: "RateLimitSet",
        ...on,
        from: { service: "catalog", rules: [{ requests: 5, per: "1s" }] },
        to: { service: "catalog", rules: [{ requests: 9, per: "1s" }] },
      },
    ],
  },
];

describe("apply emits the narrowest events:", () => {
  for (const row of [...SERVICES_AND_ROUTES, ...ACCESS_AND_LIMITS]) {
    test(row.title, () => {
      const { decision, next } = decided(given(...row.given), "shop", { kind: "apply", documents: row.when });
      if (typeof row.expected === "string") expect(types(decision)).toBe(row.expected);
      else expect(decision.events).toEqual(row.expected);
      for (const { kind, metadata, spec } of row.when) {
        const key = `${kind}/shop/${metadata.name}`;
        expect({ key, spec: contents(next)[key]?.spec }).toEqual({ key, spec });
      }
    });
  }
});

describe("the Mesh document", () => {
  const declare = (spec: object, from = INITIAL_STATE) =>
    decided(from, "_mesh", { kind: "apply", documents: [mesh(spec)] });

  test("is declared once, with the defaults written out, and changed field by field after that", () => {
    const first = declare({});
    expect(first.decision.events).toEqual([
      { type: "MeshDeclared", spec: { trustDomain: "mesh.local", mtls: "strict", access: "deny" } },
    ]);
    expect(declare({ mtls: "strict" }, first.next).decision.events).toEqual([]);
    const second = declare({ mtls: "permissive", access: "allow" }, first.next);
    expect(second.decision.events).toEqual([
      { type: "MtlsModeSet", from: "strict", to: "permissive" },
      { type: "AccessDefaultSet", from: "deny", to: "allow" },
    ]);
    expect(types(declare({ access: "allow" }, second.next).decision)).toBe("MtlsModeSet");
  });

  test("cannot move to another trust domain", () => {
    const { next } = declare({});
    const body = { kind: "apply", documents: [mesh({ trustDomain: "other.local" })] } as const;
    expect(refused(next, "_mesh", { ...body, documents: [...body.documents] })).toContain("every certificate names it");
  });
});

describe("apply refuses", () => {
  const rows: [string, string, PolicyDocument[], string[]][] = [
    [
      "a document of another namespace",
      "shop",
      [service("bank/teller")],
      ["Service/bank/teller", "belongs to namespace bank"],
    ],
    ["the Mesh outside _mesh", "shop", [mesh({})], ["Mesh/_mesh/default", "belongs to namespace _mesh"]],
    ["anything but the Mesh in _mesh", "_mesh", [web], ["Service/shop/web", "belongs to namespace shop"]],
    ["one document twice", "shop", [web, web], ["declared twice"]],
    [
      "a route to a service that is not there",
      "shop",
      [document("Route", "shop/x", { service: "wep", rules: [{}] }), web],
      ["Route/shop/x spec.service", "did you mean web"],
    ],
    [
      "a route to a subset that is not there",
      "shop",
      [catalog, route({ backends: [{ subset: "v3" }] })],
      ["Route/shop/catalog spec.rules[0].backends[0].subset", "v1, v2"],
    ],
    ["a namespace that is none", "Shop!", [web], ["cannot be a namespace"]],
  ];
  for (const [title, namespace, documents, words] of rows) {
    test(title, () => {
      const why = refused(INITIAL_STATE, namespace, { kind: "apply", documents });
      for (const word of words) expect(why).toContain(word);
    });
  }

  test("to take a subset from a service while a route sends traffic to it", () => {
    const state = given(catalog, route(canary(1, 1)));
    const why = refused(state, "shop", { kind: "apply", documents: [service("shop/catalog", ["v1"])] });
    expect(why).toContain("Route/shop/catalog spec.rules[0].backends[1].subset");
  });

  test("and says so for no more problems than a person reads", () => {
    const documents = Array.from({ length: 150 }, (_, index) => service(`bank/s${index}`));
    const lines = refused(INITIAL_STATE, "shop", { kind: "apply", documents }).split("\n");
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toContain("and 50 more");
  });
});

describe("apply warns", () => {
  test("of what the documents named probably do not mean, and of nothing else", () => {
    const state = given(catalog, policy(allow("shop/nobody")));
    const { decision } = decided(state, "shop", { kind: "apply", documents: [route(canary(1, 1), sticky)] });
    expect(decision.warnings).toHaveLength(1);
    expect(decision.warnings[0]).toContain("Route/shop/catalog spec.rules[1]: is never reached");
  });

  test("again when a document is changed and the reason stays", () => {
    const state = given(catalog, route(canary(1, 1), sticky));
    const { decision } = decided(state, "shop", { kind: "apply", documents: [route(canary(1, 3), sticky)] });
    expect(types(decision)).toBe("TrafficShifted");
    expect(decision.warnings.join()).toContain("is never reached");
  });
});

describe("delete", () => {
  const state = given(web, catalog, route(canary(1, 1)), policy(allow("shop/web"), deny("/a")), limit(1));
  const remove = (...keys: string[]) => decided(state, "shop", { kind: "delete", keys });

  test("takes away a policy rule by rule", () => {
    const { decision, next } = remove("AccessPolicy/shop/front");
    expect(decision.events).toEqual([
      { type: "AccessForbiddanceLifted", ...front, index: 1, rule: deny("/a") },
      { type: "AccessRevoked", ...front, index: 0, rule: allow("shop/web") },
      { type: "AccessPolicyRemoved", ...front },
    ]);
    expect(Object.keys(contents(next))).not.toContain("AccessPolicy/shop/front");
  });

  test("takes away a service and all about it, dependants first", () => {
    const keys = ["Service/shop/catalog", "Route/shop/catalog", "RateLimit/shop/catalog", "AccessPolicy/shop/front"];
    const { decision, next } = remove(...keys);
    expect(types(decision)).toBe(
      "RateLimitRemoved AccessForbiddanceLifted AccessRevoked AccessPolicyRemoved RouteRemoved ServiceRemoved",
    );
    expect(Object.keys(contents(next))).toEqual(["Service/shop/web"]);
  });

  test("warns when a rule elsewhere loses its caller", () => {
    const { decision } = remove("Service/shop/web");
    expect(decision.warnings.join()).toContain("AccessPolicy/shop/front");
  });

  const rows: [string, string[], string][] = [
    ["a service that a route still needs", ["Service/shop/catalog"], "there is no service shop/catalog"],
    ["what is not there, with what was meant", ["Service/shop/catalgo"], "did you mean Service/shop/catalog?"],
    ["what is no key at all", ["catalog"], "there is no catalog"],
  ];
  for (const [title, keys, words] of rows) {
    test(`refuses ${title}`, () => expect(refused(state, "shop", { kind: "delete", keys })).toContain(words));
  }

  test("refuses what belongs to another namespace, and the Mesh", () => {
    const both = applied(applied(state, "bank", service("bank/teller")), "_mesh", mesh({}));
    expect(refused(both, "shop", { kind: "delete", keys: ["Service/bank/teller"] })).toContain("belongs to namespace");
    expect(refused(both, "_mesh", { kind: "delete", keys: ["Mesh/_mesh/default"] })).toContain("no trust domain");
  });
});
