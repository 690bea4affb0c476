/** Random policy of one namespace that passes the semantic checks, and random histories of it. */

import fc from "fast-check";
import type { AccessRule, PolicyDocument, RouteRule, ServiceSpec } from "../../src/policy/schema.ts";

const API = "heddle/v1" as const;
/** `constructor` is a good name for a service, and a trap for plain objects used as maps. */
const SERVICES = ["web", "orders", "catalog", "constructor"] as const;
const SUBSETS = ["v1", "v2", "constructor"] as const;
const METHODS = ["GET", "POST", "DELETE"] as const;
const PATHS = ["/", "/charge", "/admin/*"] as const;
const CALLERS = ["*", "shop/*", "shop/web", "shop/orders", "bank/teller"] as const;

const duration = fc.constantFrom("100ms", "1s", "1m30s");
const header = fc.constantFrom({ exact: "beta" }, { prefix: "b" }, { present: true });

/** Like `fc.record` with optional keys that are absent rather than undefined. */
function partial<T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> {
  return fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;
}

const serviceSpec: fc.Arbitrary<ServiceSpec> = fc
  .record({
    ports: fc.uniqueArray(
      fc.record({ port: fc.constantFrom(80, 8080, 9090), protocol: fc.constantFrom("http", "grpc") }),
      { minLength: 1, maxLength: 2, selector: ({ port }) => port },
    ),
    subsets: fc.uniqueArray(fc.constantFrom(...SUBSETS), { maxLength: 3 }),
    rest: partial({
      loadBalancer: fc.record({ algorithm: fc.constantFrom("round-robin", "random") }),
      connectionPool: fc.record({ maxConnections: fc.integer({ min: 1, max: 9 }) }),
      outlierDetection: fc.record({ consecutive5xx: fc.integer({ min: 1, max: 3 }), interval: duration }),
    }),
  })
  .map(({ ports, subsets, rest }) => {
    const selected = Object.fromEntries(subsets.map((subset) => [subset, { version: subset }]));
    return { ports, ...rest, ...(subsets.length === 0 ? {} : { subsets: selected }) } as ServiceSpec;
  });

function routeRule(subsets: readonly string[]): fc.Arbitrary<RouteRule> {
  const backends = fc
    .uniqueArray(fc.constantFrom(...subsets, undefined), { minLength: 1, maxLength: 3 })
    .chain((names) =>
      fc.tuple(
        ...names.map((subset) =>
          partial({ weight: fc.integer({ min: 1, max: 5 }) }).map((weight) => {
            return subset === undefined ? weight : { subset, ...weight };
          }),
        ),
      ),
    );
  return partial({
    match: fc.array(
      partial({
        path: fc.constantFrom({ exact: "/a" }, { prefix: "/b" }),
        headers: header.map((match) => ({ "x-user": match })),
      }),
      { minLength: 1, maxLength: 2 },
    ),
    backends,
    timeout: duration,
    retries: fc.record({ attempts: fc.integer({ min: 0, max: 3 }) }),
  }) as fc.Arbitrary<RouteRule>;
}

const callers = partial({
  from: fc.uniqueArray(fc.constantFrom(...CALLERS), { minLength: 1, maxLength: 2 }),
  methods: fc.uniqueArray(fc.constantFrom(...METHODS), { minLength: 1, maxLength: 2 }),
  paths: fc.uniqueArray(fc.constantFrom(...PATHS), { minLength: 1, maxLength: 2 }),
});

export const accessRule = fc.oneof(
  callers.map((allow) => ({ allow })),
  callers.map((deny) => ({ deny })),
  callers.map((audit) => ({ audit })),
) as fc.Arbitrary<AccessRule>;

const rateLimitRules = fc.array(fc.record({ requests: fc.integer({ min: 1, max: 9 }), per: duration }), {
  minLength: 1,
  maxLength: 2,
});

/** The documents about one service, its own first. The names of the others do not always follow the service's. */
function aboutService(namespace: string, service: string): fc.Arbitrary<PolicyDocument[]> {
  return serviceSpec.chain((spec) => {
    const rules = fc.array(routeRule(Object.keys(spec.subsets ?? {})), { minLength: 1, maxLength: 3 });
    // Not drawn: where it changes, the route is defined anew, and nothing is shifted.
    const precedence = service === SERVICES[0] ? { precedence: "gateway-api" } : {};
    const named = (suffix: string) => ({ namespace, name: `${service}${suffix}` });
    return fc
      .record({
        route: fc.option(rules),
        routeSuffix: fc.constantFrom("", "-r"),
        access: fc.option(fc.array(accessRule, { minLength: 1, maxLength: 5 })),
        accessFields: partial({ default: fc.constantFrom("deny", "allow"), dryRun: fc.constant(true) }),
        limits: fc.option(rateLimitRules),
      })
      .map(({ route, routeSuffix, access, accessFields, limits }): PolicyDocument[] => [
        { apiVersion: API, kind: "Service", metadata: { namespace, name: service }, spec },
        ...documents("Route", named(routeSuffix), service, route, precedence),
        ...documents("AccessPolicy", named("-access"), service, access, accessFields),
        ...documents("RateLimit", named(""), service, limits),
      ]);
  });
}

function documents(
  kind: string,
  metadata: object,
  service: string,
  rules: unknown[] | null,
  rest: object = {},
): PolicyDocument[] {
  return rules === null
    ? []
    : [{ apiVersion: API, kind, metadata, spec: { service, ...rest, rules } } as PolicyDocument];
}

/** A whole namespace's documents, any of which may be missing, without errors for the semantic checks. */
export function namespaceDocuments(namespace = "shop"): fc.Arbitrary<PolicyDocument[]> {
  return fc
    .subarray([...SERVICES], { minLength: 1 })
    .chain((services) => fc.tuple(...services.map((service) => aboutService(namespace, service))))
    .map((lists) => lists.flat());
}

export const meshDocument = partial({
  mtls: fc.constantFrom("strict", "permissive", "disabled"),
  access: fc.constantFrom("deny", "allow"),
}).map((spec) => {
  const document = { apiVersion: API, kind: "Mesh", metadata: { name: "default" } };
  return { ...document, spec: { trustDomain: "mesh.local", ...spec } } as PolicyDocument;
});
