/**
 * Which services a change can have touched: the index from event to snapshots that keeps one change's cost flat as
 * the mesh grows. It may name a service whose snapshot turns out the same (the digest settles that); it must never
 * leave one out. Both states are asked, since a change can give and take away.
 */

import type { RecordedChange } from "../events/change.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import { type AccessPolicyState, EMPTY_NAMESPACE, type MeshState } from "../events/state.ts";
import { type ServiceRef, serviceRef } from "../policy/names.ts";
import type { AccessRule } from "../policy/schema.ts";
import { allowedPatterns, callersOf, expandPatterns, type ServiceName } from "./call-graph.ts";

/** Every service of the mesh: what is mesh-wide stands in every snapshot. */
export type Affected = Set<ServiceRef> | "all";

type NamespaceEvent = Extract<DomainEvent, { namespace: string }>;

/** The states on both sides of a change. */
interface Transition {
  readonly before: MeshState;
  readonly after: MeshState;
}

/**
 * The services whose compiled snapshot may differ between `before` and `after`, which `change` leads to. A removed
 * service is among them, though nothing compiles for it any more.
 */
export function affectedServices(before: MeshState, after: MeshState, change: RecordedChange): Affected {
  const transition = { before, after };
  const affected = new Set<ServiceRef>();
  for (const event of change.change.data.events) {
    switch (event.type) {
      case "MeshDeclared":
      case "MtlsModeSet":
      case "AccessDefaultSet":
      case "RootAdded":
      case "RootActivated":
      case "RootRetired":
        return "all";
      case "OperatorAdded":
        break;
      default:
        for (const ref of affectedBy(transition, event)) affected.add(ref);
    }
  }
  return affected;
}

function affectedBy(transition: Transition, event: NamespaceEvent): Iterable<ServiceRef> {
  const { namespace } = event;
  switch (event.type) {
    case "ServiceDeclared":
    case "ServiceRemoved":
      return presence(transition, event);
    case "ServicePortsSet":
    case "SubsetsDefined":
    case "LoadBalancerSet":
    case "ConnectionPoolSet":
    case "OutlierDetectionSet":
      return [serviceRef(namespace, event.name), ...callers(transition, event)];
    case "RouteDefined":
      // A route may have served another service until now.
      return [
        ...callers(transition, { namespace, name: event.spec.service }),
        ...callers(transition, { namespace, name: routedService(transition.before, event) }),
      ];
    case "TrafficShifted":
    case "RouteTimeoutSet":
    case "RouteRetriesSet":
    case "RouteRemoved":
      return callers(transition, { namespace, name: event.service });
    case "AccessPolicyDeclared":
    case "AccessPolicyRemoved":
      return wholePolicy(transition, event);
    case "AccessGranted":
    case "AccessRevoked":
    case "AccessForbidden":
    case "AccessForbiddanceLifted":
      return [serviceRef(namespace, event.service), ...namedIn(transition, [event.rule])];
    case "RateLimitSet":
      return [serviceRef(namespace, event.to.service)];
    case "RateLimitRemoved":
      return [serviceRef(namespace, event.from.service)];
    case "RolledBack":
      return [];
    default: {
      const unheard: never = event;
      return unheard;
    }
  }
}

/** A service came or went: itself, those that may call it, and its neighbours, who know by name what they cannot call. */
function* presence(transition: Transition, service: ServiceName): Iterable<ServiceRef> {
  yield serviceRef(service.namespace, service.name);
  yield* callers(transition, service);
  for (const state of [transition.before, transition.after]) {
    const { services } = state.namespaces.get(service.namespace) ?? EMPTY_NAMESPACE;
    for (const name of services.keys()) yield serviceRef(service.namespace, name);
  }
}

function* callers({ before, after }: Transition, target: ServiceName): Iterable<ServiceRef> {
  yield* callersOf(before, target);
  yield* callersOf(after, target);
}

function routedService(state: MeshState, event: Extract<DomainEvent, { type: "RouteDefined" }>): string {
  return state.namespaces.get(event.namespace)?.routes.get(event.name)?.service ?? event.spec.service;
}

/** A policy came, went, or turned to another service: its services and everyone it named or names. */
function* wholePolicy(
  transition: Transition,
  event: Extract<DomainEvent, { type: "AccessPolicyDeclared" | "AccessPolicyRemoved" }>,
): Iterable<ServiceRef> {
  yield serviceRef(event.namespace, event.service);
  for (const state of [transition.before, transition.after]) {
    const policy: AccessPolicyState | undefined = state.namespaces.get(event.namespace)?.accessPolicies.get(event.name);
    if (policy === undefined) continue;
    yield serviceRef(event.namespace, policy.service);
    yield* namedIn(
      transition,
      policy.rules.map(({ value }) => value),
    );
  }
}

/** The callers that rules let in; a `deny` concerns the callee alone. */
function* namedIn({ before, after }: Transition, rules: readonly AccessRule[]): Iterable<ServiceRef> {
  for (const rule of rules) {
    const patterns = allowedPatterns(rule);
    yield* expandPatterns(before, patterns);
    yield* expandPatterns(after, patterns);
  }
}
