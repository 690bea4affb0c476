/**
 * Which services a change can have touched: the index from event to snapshots that keeps one change's cost flat as the
 * mesh grows. It may name a service whose snapshot turns out the same (the digest settles that); it must never leave
 * one out.
 *
 * Who may call a service is read from the state after the change: a caller that could call it only before has lost that
 * by an event of the same change, which names it. The state before is read for what an event replaces or removes
 * without naming it.
 */

import type { RecordedChange } from "../events/change.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import type { MeshState } from "../events/state.ts";
import { type ServiceRef, serviceRef } from "../policy/names.ts";
import {
  accessDefaultOf,
  allowedPatterns,
  callableServices,
  callersOf,
  declaredServices,
  expandPatterns,
  type ServiceName,
} from "./call-graph.ts";

/** Every service of the mesh: what is mesh-wide stands in every snapshot. */
export type Affected = Set<ServiceRef> | "all";

type EventOf<T extends DomainEvent["type"]> = Extract<DomainEvent, { type: T }>;
type NamespaceEvent = Exclude<Extract<DomainEvent, { namespace: string }>, { type: `Token${string}` }>;

interface Transition {
  /** The states on both sides of a change. */
  readonly before: MeshState;
  readonly after: MeshState;
  /** Namespaces all of whose services are affected already: a change may declare thousands that are all neighbours. */
  readonly covered: Set<string>;
}

/**
 * The services whose compiled snapshot may differ between `before` and `after`, which `change` leads to. A removed
 * service is among them, though nothing compiles for it any more.
 */
export function affectedServices(before: MeshState, after: MeshState, change: RecordedChange): Affected {
  const transition = { before, after, covered: new Set<string>() };
  const affected = new Set<ServiceRef>();
  for (const event of change.change.data.events) {
    switch (event.type) {
      case "MeshDeclared":
      case "MtlsModeSet":
      case "NamespaceDefaultsSet":
      case "AccessDefaultSet":
      case "RootAdded":
      case "RootActivated":
      case "RootRetired":
      case "FederationTrusted":
      case "FederationEnded":
        return "all";
      // How long certificates live is between the authority and whoever asks.
      case "CertificateTtlDefaultSet":
      case "OperatorAdded":
      case "RootRotationStarted":
      case "RootRotationPaused":
      case "RootRotationResumed":
      case "RootRotationAborted":
      case "OperatorRevoked":
      case "TokenCreated":
      case "TokenUsed":
      case "TokenRevoked":
        // Who may connect is between the server, the replicas and whoever does; no snapshot says it.
        break;
      default:
        for (const ref of affectedBy(transition, event)) affected.add(ref);
    }
  }
  return affected;
}

function affectedBy(transition: Transition, event: NamespaceEvent): Iterable<ServiceRef> {
  const { after } = transition;
  const { namespace } = event;
  switch (event.type) {
    case "ServiceDeclared":
    case "ServiceRemoved":
      return presence(transition, event);
    case "ServiceMtlsSet":
    case "ServiceExternalSet":
      // Who may call without an identity depends on it, as on modes.
      return declaredServices(after);
    case "ServicePortsSet":
      // Who may call without an identity depends on whether anybody has to have one.
      if ([...(event.from ?? []), ...(event.to ?? [])].some(({ mtls }) => mtls !== undefined))
        return declaredServices(after);
      return [serviceRef(namespace, event.name), ...callersOf(after, event)];
    case "SubsetsDefined":
    case "LoadBalancerSet":
    case "ConnectionPoolSet":
    case "OutlierDetectionSet":
    case "HealthCheckSet":
      return [serviceRef(namespace, event.name), ...callersOf(after, event)];
    case "RouteDefined":
      return routing(transition, event);
    case "TrafficShifted":
    case "RouteTimeoutSet":
    case "RouteRetriesSet":
    case "RouteRemoved":
    case "FaultInjected":
    case "FaultCleared":
      return callersOf(after, { namespace, name: event.service });
    case "AccessPolicyDeclared":
    case "AccessPolicyRemoved":
    case "AccessPolicyDefaultSet":
    case "AccessDryRunStarted":
    case "AccessDryRunEnded":
      return policing(transition, event);
    case "AccessGranted":
    case "AccessRevoked":
    case "AccessForbidden":
    case "AccessForbiddanceLifted":
    case "AccessAuditAdded":
    case "AccessAuditRemoved":
      // Only an `allow` lets anybody in: the others concern the callee alone.
      return [serviceRef(namespace, event.service), ...expandPatterns(after, allowedPatterns(event.rule))];
    case "JwtValidationSet":
      return [serviceRef(namespace, event.name)];
    case "RateLimitSet":
      return limiting(transition, event);
    case "RateLimitRemoved":
      return [serviceRef(namespace, event.from.service)];
    case "IdentityRevoked":
    case "IdentityReinstated":
      return neighbourhood(after, { namespace, name: event.service });
    case "CertificateTtlSet":
    case "RolledBack":
    case "ChangeReverted":
      return [];
    default: {
      const unheard: never = event;
      return unheard;
    }
  }
}

/**
 * A service came or went: itself, those that may call it, and its neighbours, who know by name what they cannot call.
 */
function presence({ after, covered }: Transition, service: ServiceName): ServiceRef[] {
  const { namespace, name } = service;
  const neighbours = covered.has(namespace) ? [] : (after.namespaces.get(namespace)?.services.keys() ?? []);
  covered.add(namespace);
  return [
    serviceRef(namespace, name),
    ...callersOf(after, service),
    ...[...neighbours].map((neighbour) => serviceRef(namespace, neighbour)),
  ];
}

/** A service, those that may call it, and those that it may call: all who may meet its certificate. */
function neighbourhood(after: MeshState, service: ServiceName): ServiceRef[] {
  return [
    serviceRef(service.namespace, service.name),
    ...callersOf(after, service),
    ...callableServices(after, service),
  ];
}

/** A route came or was written anew: it may have served another service until now. */
function routing({ before, after }: Transition, event: EventOf<"RouteDefined">): ServiceRef[] {
  const { namespace, name, spec } = event;
  const replaced = before.namespaces.get(namespace)?.routes.get(name);
  const services = new Set([spec.service, replaced?.service ?? spec.service]);
  return [...services].flatMap((service) => [...callersOf(after, { namespace, name: service })]);
}

/** A limit was set: it may have been another service's until now. */
function limiting({ before }: Transition, { namespace, name, to }: EventOf<"RateLimitSet">): ServiceRef[] {
  const replaced = before.namespaces.get(namespace)?.rateLimits.get(name)?.value;
  return [serviceRef(namespace, to.service), serviceRef(namespace, replaced?.service ?? to.service)];
}

/**
 * A policy appears, disappears, enters or leaves dry run, or changes its default: everything that it held before and
 * holds now, for whichever service.
 */
function policing({ before, after }: Transition, event: EventOf<PolicyEvent>): ServiceRef[] {
  const { namespace, name } = event;
  const policies = [before, after].flatMap((state) => state.namespaces.get(namespace)?.accessPolicies.get(name) ?? []);
  const services = [...new Set([event.service, ...policies.map(({ service }) => service)])];
  const patterns = policies.flatMap(({ rules }) => rules.flatMap(({ value }) => allowedPatterns(value)));
  return [
    ...services.map((service) => serviceRef(namespace, service)),
    ...expandPatterns(after, patterns),
    ...(services.some((service) => defaultTurned({ before, after }, { namespace, name: service }))
      ? declaredServices(after)
      : []),
  ];
}

type PolicyEvent =
  | "AccessPolicyDeclared"
  | "AccessPolicyRemoved"
  | "AccessPolicyDefaultSet"
  | "AccessDryRunStarted"
  | "AccessDryRunEnded";

function defaultTurned({ before, after }: Pick<Transition, "before" | "after">, service: ServiceName): boolean {
  return accessDefaultOf(before, service) !== accessDefaultOf(after, service);
}
