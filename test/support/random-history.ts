/**
 * Random histories of a small mesh, for property tests: few names, so that events meet. Events are the kind that the
 * decider emits: a rule that leaves is the one that stood there, a weight belongs to a route that is.
 */

import fc from "fast-check";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { evolve } from "../../src/events/evolve.ts";
import { EMPTY_NAMESPACE, type MeshState } from "../../src/events/state.ts";
import { type AccessRule, partsOf } from "../../src/policy/schema.ts";

/** What somebody does next; what comes of it depends on the state. */
export interface Step {
  readonly act: (typeof ACTS)[number];
  readonly namespace: string;
  /** Name of a service, and of the document about it where there is one each. */
  readonly service: string;
  readonly document: string;
  readonly index: number;
  readonly from: readonly string[] | undefined;
}

const NAMESPACES = ["shop", "bank"];
const SERVICES = ["a", "b", "c"];
const DOCUMENTS = ["one", "two"];
const PATTERNS = [
  "*",
  "none",
  "spiffe://mesh.local/ns/shop/*",
  "spiffe://mesh.local/ns/bank/sa/a",
  "spiffe://b.local/*",
  ...NAMESPACES.flatMap((ns) => ["*", ...SERVICES].map((name) => `${ns}/${name}`)),
];

const ACTS = [
  "declare",
  "remove",
  "ports",
  "subsets",
  "balance",
  "pool",
  "outlier",
  "modes",
  "external",
  "port-modes",
  "health",
  "route",
  "shift",
  "timeout",
  "retries",
  "unroute",
  "policy",
  "grant",
  "revoke",
  "forbid",
  "audit",
  "policy-default",
  "dry-run",
  "unpolicy",
  "limit",
  "unlimit",
  "disbelieve",
  "reinstate",
  "default",
  "namespace",
  "mtls",
  "mesh",
  "root",
  "retire",
  "operator",
  "mark",
] as const;

export const step: fc.Arbitrary<Step> = fc.record({
  // What is mesh-wide touches everybody, so it would hide the rest if it came as often.
  act: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...ACTS.slice(0, -8)) },
    { weight: 1, arbitrary: fc.constantFrom(...ACTS) },
    { weight: 6, arbitrary: fc.constantFrom("declare", "grant", "policy", "route" as const) },
  ),
  namespace: fc.constantFrom(...NAMESPACES),
  service: fc.constantFrom(...SERVICES),
  document: fc.constantFrom(...DOCUMENTS),
  index: fc.nat(5),
  from: fc.option(fc.array(fc.constantFrom(...PATTERNS), { minLength: 1, maxLength: 2 }), { nil: undefined }),
});

/** A change: a few steps in one namespace at once. */
export const steps: fc.Arbitrary<Step[]> = fc
  .tuple(fc.constantFrom(...NAMESPACES), fc.array(step, { minLength: 1, maxLength: 3 }))
  .map(([namespace, list]) => list.map((one) => ({ ...one, namespace })));

/** The events that steps lead to, one after the other, in a state. */
export function eventsOfSteps(state: MeshState, list: readonly Step[]): DomainEvent[] {
  const events: DomainEvent[] = [];
  let next = state;
  for (const one of list) {
    for (const event of [...policyEvents(next, one), ...serviceEvents(next, one), ...meshEvents(next, one)]) {
      events.push(event);
      next = evolve(next, event, { revision: 0, actor: "", time: "" });
    }
  }
  return events;
}

function namespaceOf(state: MeshState, { namespace }: Step) {
  return state.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
}

function serviceEvents(state: MeshState, one: Step): DomainEvent[] {
  const { namespace, service, document, index } = one;
  const { services, routes } = namespaceOf(state, one);
  const at = { namespace, name: service };
  const route = routes.get(document);
  const routed = { namespace, name: document, service: route?.service ?? service };
  const rule = { ...routed, rule: 0 };
  const ports = [{ port: 8000 + index, protocol: "http" as const }];
  const version = `v${index}`;
  switch (one.act) {
    case "declare":
      return [{ type: "ServiceDeclared", ...at, spec: { ports } }];
    case "route": {
      const backends = [{ subset: "v1", weight: index }, { subset: "v2" }];
      return [{ type: "RouteDefined", namespace, name: document, spec: { service, rules: [{ backends }] } }];
    }
    case "shift":
      return route ? [{ type: "TrafficShifted", ...rule, from: {}, to: { v1: index, v2: 100 - index } }] : [];
    case "timeout":
      return route ? [{ type: "RouteTimeoutSet", ...rule, to: `${index + 1}s` }] : [];
    case "retries":
      return route ? [{ type: "RouteRetriesSet", ...rule, to: { attempts: index } }] : [];
    case "unroute":
      return route ? [{ type: "RouteRemoved", ...routed }] : [];
  }
  const identity = { namespace, service };
  switch (one.act) {
    case "disbelieve":
      return [{ type: "IdentityRevoked", ...identity, ...(index < 3 ? {} : { serial: `0${index}` }) }];
    case "reinstate":
      return [{ type: "IdentityReinstated", ...identity }];
  }
  if (!services.has(service)) return [];
  switch (one.act) {
    case "remove":
      return [{ type: "ServiceRemoved", ...at }];
    case "ports": {
      const from = services.get(service)?.value.ports ?? [];
      return [{ type: "ServicePortsSet", ...at, from, to: ports }];
    }
    case "subsets":
      return [{ type: "SubsetsDefined", ...at, to: { v1: { version } } }];
    case "balance":
      return [{ type: "LoadBalancerSet", ...at, to: { algorithm: index % 2 === 0 ? "random" : "round-robin" } }];
    case "pool":
      return [{ type: "ConnectionPoolSet", ...at, to: { maxConnections: index + 1 } }];
    case "modes": {
      const to = (["disabled", "permissive", undefined] as const)[index % 3];
      return [{ type: "ServiceMtlsSet", ...at, ...(to === undefined ? {} : { to }) }];
    }
    case "external": {
      const identity = "spiffe://other.local/ns/shop/sa/catalog";
      return [
        {
          type: "ServiceExternalSet",
          ...at,
          ...(index % 2 === 0 ? { to: { identity, addresses: ["10.0.0.1:1"] } } : {}),
        },
      ];
    }
    case "port-modes": {
      const from = services.get(service)?.value.ports ?? [];
      return [
        { type: "ServicePortsSet", ...at, from, to: ports.map((port) => ({ ...port, mtls: "disabled" as const })) },
      ];
    }
    case "outlier":
      return [{ type: "OutlierDetectionSet", ...at, to: { consecutive5xx: index + 1 } }];
    case "health":
      return [{ type: "HealthCheckSet", ...at, to: { tcp: {}, healthyThreshold: index + 1 } }];
    default:
      return [];
  }
}

const LEAVING = { allow: "AccessRevoked", deny: "AccessForbiddanceLifted", audit: "AccessAuditRemoved" } as const;

function policyEvents(state: MeshState, one: Step): DomainEvent[] {
  const { namespace, service, document: name, from } = one;
  const { accessPolicies, rateLimits } = namespaceOf(state, one);
  const policy = accessPolicies.get(name);
  const limit = rateLimits.get(name);
  const at = { namespace, name, service: policy?.service ?? service };
  const index = one.index % ((policy?.rules.length ?? 0) + 1);
  const callers = { methods: [`GET${"X".repeat(one.index)}`], ...(from === undefined ? {} : { from: [...from] }) };
  const standing: AccessRule | undefined = policy?.rules[index]?.value;
  switch (one.act) {
    case "policy":
      return [{ type: "AccessPolicyDeclared", namespace, name, service, ...(one.index === 1 ? { dryRun: true } : {}) }];
    case "policy-default": {
      const to = (["allow", "deny", undefined] as const)[one.index % 3];
      return policy ? [{ type: "AccessPolicyDefaultSet", ...at, ...(to === undefined ? {} : { to }) }] : [];
    }
    case "dry-run":
      return policy ? [{ type: policy.dryRun ? "AccessDryRunEnded" : "AccessDryRunStarted", ...at }] : [];
    case "audit":
      return policy ? [{ type: "AccessAuditAdded", ...at, index, rule: { audit: callers } }] : [];
    case "grant":
      return policy ? [{ type: "AccessGranted", ...at, index, rule: { allow: callers } }] : [];
    case "forbid":
      return policy ? [{ type: "AccessForbidden", ...at, index, rule: { deny: callers } }] : [];
    case "revoke": {
      if (standing === undefined) return [];
      const type = LEAVING[partsOf(standing).action];
      return [{ type, ...at, index, rule: standing }];
    }
    case "unpolicy":
      return policy ? [{ type: "AccessPolicyRemoved", ...at }] : [];
    case "limit":
      return [{ type: "RateLimitSet", namespace, name, to: { service, rules: [{ requests: 1, per: "1s" }] } }];
    case "unlimit":
      return limit ? [{ type: "RateLimitRemoved", namespace, name, from: limit.value }] : [];
    default:
      return [];
  }
}

function meshEvents(state: MeshState, { act, index, namespace, service }: Step): DomainEvent[] {
  const root = { fingerprint: `${index}${index}` };
  const even = index % 2 === 0;
  switch (act) {
    case "mesh":
      return state.mesh ? [] : [{ type: "MeshDeclared", spec: { trustDomain: `${service}.local` } }];
    case "namespace":
      return state.mesh
        ? [
            {
              type: "NamespaceDefaultsSet",
              name: namespace,
              ...(even ? { to: { access: "allow", mtls: "disabled" } } : {}),
            },
          ]
        : [];
    case "default":
      return [{ type: "AccessDefaultSet", from: even ? "allow" : "deny", to: even ? "deny" : "allow" }];
    case "mtls":
      return [{ type: "MtlsModeSet", from: "strict", to: even ? "strict" : "permissive" }];
    case "root":
      return [{ type: "RootAdded", ...root, pem: `PEM ${index}` }];
    case "retire":
      return state.roots.has(root.fingerprint) ? [{ type: "RootRetired", ...root }] : [];
    case "operator":
      return [{ type: "OperatorAdded", name: service, publicKey: `U${index}`, role: "viewer", namespaces: [] }];
    case "mark":
      return [{ type: "RolledBack", namespace: "shop", toRevision: index }];
    default:
      return [];
  }
}
