/**
 * State from events. Never validates and never throws on an event of the vocabulary: what is in the ledger has
 * happened. Copies what it touches and shares the rest, so that states of many revisions can be held at once.
 */

import { canonicalJson } from "../policy/canonical.ts";
import type { MeshSpec, RouteRule, RouteSpec, ServiceSpec } from "../policy/schema.ts";
import { withWeights } from "./backend-weights.ts";
import type { RecordedChange } from "./change.ts";
import type { DomainEvent } from "./domain-events.ts";
import { evolveFaults, withoutFaultsOf } from "./evolve-faults.ts";
import { evolveRevocations } from "./evolve-revocations.ts";
import { evolveRoots } from "./evolve-roots.ts";
import { evolveTokens } from "./evolve-tokens.ts";
import { COPIED_MAPS, type Maps, OwnedMaps } from "./maps.ts";
import {
  type AccessPolicyState,
  EMPTY_NAMESPACE,
  INITIAL_STATE,
  type MeshState,
  type NamespaceState,
  type Origin,
  type RevokedKey,
  type RouteState,
  type WithOrigin,
} from "./state.ts";

/** The part of the vocabulary that happens to the documents of one namespace. */
type NamespaceEvent = Exclude<Extract<DomainEvent, { namespace: string }>, TokenEvent | MarkEvent>;
/** About who may join: no document says so. */
type TokenEvent = Extract<DomainEvent, { type: `Token${string}` }>;
type MarkEvent = EventOf<"RolledBack" | "ChangeReverted">;
type EventOf<T extends DomainEvent["type"]> = Extract<DomainEvent, { type: T }>;

/** The state after one event. `origin` becomes the origin of every value that the event puts in place. */
export function evolve(state: MeshState, event: DomainEvent, origin: Origin, maps: Maps = COPIED_MAPS): MeshState {
  switch (event.type) {
    case "MeshDeclared":
      return { ...state, mesh: { value: event.spec, origin } };
    case "MtlsModeSet":
      return withMesh(state, { mtls: event.to }, origin);
    case "AccessDefaultSet":
      return withMesh(state, { access: event.to }, origin);
    case "NamespaceDefaultsSet": {
      const { mesh } = state;
      if (mesh === undefined) return state;
      const { [event.name]: _, ...others } = mesh.value.namespaces ?? {};
      const namespaces = event.to === undefined ? others : { ...others, [event.name]: event.to };
      const to = Object.keys(namespaces).length === 0 ? undefined : namespaces;
      return { ...state, mesh: { value: withField(mesh.value, "namespaces", to), origin } };
    }
    case "CertificateTtlDefaultSet": {
      const { mesh } = state;
      if (mesh === undefined) return state;
      return { ...state, mesh: { value: withField(mesh.value, "certificateTtl", event.to), origin } };
    }
    case "OperatorAdded": {
      const { name, publicKey, role, namespaces } = event;
      return { ...state, operators: maps.withEntry(state.operators, publicKey, { name, publicKey, role, namespaces }) };
    }
    case "OperatorRevoked": {
      const { name, publicKey } = event;
      const revoked: RevokedKey = { name, expiresAt: undefined, origin };
      const revokedKeys = maps.withEntry(state.revokedKeys, publicKey, revoked);
      return { ...state, operators: maps.withoutEntry(state.operators, publicKey), revokedKeys };
    }
    case "TokenCreated":
    case "TokenUsed":
    case "TokenRevoked":
      return { ...state, ...evolveTokens(state, event, origin) };
    case "RootAdded":
    case "RootActivated":
    case "RootRetired":
    case "RootRotationStarted":
    case "RootRotationPaused":
    case "RootRotationResumed":
    case "RootRotationAborted":
      return { ...state, ...evolveRoots(state, event, origin) };
    case "FederationTrusted": {
      const { trustDomain, roots, sequence } = event;
      return { ...state, federation: maps.withEntry(state.federation, trustDomain, { roots, sequence, origin }) };
    }
    case "FederationEnded":
      return { ...state, federation: maps.withoutEntry(state.federation, event.trustDomain) };
    case "RolledBack":
    case "ChangeReverted":
      // A mark for the reader of history: the events beside it do the work.
      return state;
    default: {
      const before = state.namespaces.get(event.namespace) ?? EMPTY_NAMESPACE;
      const after = evolveNamespace(before, event, origin, maps);
      if (after === before) return state;
      return { ...state, namespaces: maps.withEntry(state.namespaces, event.namespace, after) };
    }
  }
}

/**
 * The state after one change: all its events applied, and the revisions of the mesh and of the namespace advanced. The
 * states between its events are not visible to anybody: copying each would cost the square of the change's length.
 */
export function foldChange(state: MeshState, recorded: RecordedChange, maps: Maps = new OwnedMaps()): MeshState {
  const { revision, namespace, change } = recorded;
  const origin: Origin = { revision, actor: change.data.actor.name, time: change.time };
  let next = state;
  for (const event of change.data.events) next = evolve(next, event, origin, maps);
  const touched = next.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
  return { ...next, revision, namespaces: maps.withEntry(next.namespaces, namespace, { ...touched, revision }) };
}

/** The state after all changes, which must come in order of revision. */
export async function fold(
  state: MeshState,
  changes: Iterable<RecordedChange> | AsyncIterable<RecordedChange>,
): Promise<MeshState> {
  const maps = new OwnedMaps();
  let next = state;
  for await (const recorded of changes) next = foldChange(next, recorded, maps);
  return next;
}

/** The state after a history that is at hand, in order of revision. */
export function foldAll(changes: Iterable<RecordedChange>, state: MeshState = INITIAL_STATE): MeshState {
  const maps = new OwnedMaps();
  let next = state;
  for (const recorded of changes) next = foldChange(next, recorded, maps);
  return next;
}

function evolveNamespace(state: NamespaceState, event: NamespaceEvent, origin: Origin, maps: Maps): NamespaceState {
  switch (event.type) {
    case "ServiceDeclared":
      return withService(state, event.name, event.spec, origin, maps);
    case "ServicePortsSet":
      return event.to === undefined ? state : withServiceField(state, event.name, "ports", event.to, origin, maps);
    case "SubsetsDefined":
      return withServiceField(state, event.name, "subsets", event.to, origin, maps);
    case "LoadBalancerSet":
      return withServiceField(state, event.name, "loadBalancer", event.to, origin, maps);
    case "ConnectionPoolSet":
      return withServiceField(state, event.name, "connectionPool", event.to, origin, maps);
    case "HealthCheckSet":
      return withServiceField(state, event.name, "healthCheck", event.to, origin, maps);
    case "OutlierDetectionSet":
      return withServiceField(state, event.name, "outlierDetection", event.to, origin, maps);
    case "CertificateTtlSet":
      return withServiceField(state, event.name, "certificateTtl", event.to, origin, maps);
    case "ServiceMtlsSet":
      return withServiceField(state, event.name, "mtls", event.to, origin, maps);
    case "ServiceExternalSet":
      return withServiceField(state, event.name, "external", event.to, origin, maps);
    case "JwtValidationSet":
      return withServiceField(state, event.name, "jwt", event.to, origin, maps);
    case "ServiceRemoved": {
      const services = maps.withoutEntry(state.services, event.name);
      return { ...state, services, faults: withoutFaultsOf(state.faults, event.name) };
    }
    case "RouteDefined": {
      const route = defineRoute(state.routes.get(event.name), event.spec, origin);
      return { ...state, routes: maps.withEntry(state.routes, event.name, route) };
    }
    case "TrafficShifted":
      return withRouteRule(state, event, origin, (rule) => shifted(rule, event.to), maps);
    case "RouteTimeoutSet":
      return withRouteRule(state, event, origin, (rule) => withField(rule, "timeout", event.to), maps);
    case "RouteRetriesSet":
      return withRouteRule(state, event, origin, (rule) => withField(rule, "retries", event.to), maps);
    case "RouteRemoved":
      return { ...state, routes: maps.withoutEntry(state.routes, event.name) };
    case "AccessPolicyDeclared":
      return withPolicy(state, event.name, declarePolicy(event, origin), maps);
    case "AccessPolicyDefaultSet":
      return withPolicyField(state, event.name, "default", event.to, origin, maps);
    case "AccessDryRunStarted":
      return withPolicyField(state, event.name, "dryRun", true, origin, maps);
    case "AccessDryRunEnded":
      return withPolicyField(state, event.name, "dryRun", undefined, origin, maps);
    case "AccessGranted":
    case "AccessAuditAdded":
    case "AccessForbidden":
      return withAccessRule(state, event, origin, maps);
    case "AccessRevoked":
    case "AccessForbiddanceLifted":
    case "AccessAuditRemoved":
      return withoutAccessRule(state, event, origin, maps);
    case "AccessPolicyRemoved":
      return { ...state, accessPolicies: maps.withoutEntry(state.accessPolicies, event.name) };
    case "RateLimitSet":
      return { ...state, rateLimits: maps.withEntry(state.rateLimits, event.name, { value: event.to, origin }) };
    case "RateLimitRemoved":
      return { ...state, rateLimits: maps.withoutEntry(state.rateLimits, event.name) };
    case "IdentityRevoked":
    case "IdentityReinstated":
      return { ...state, revocations: evolveRevocations(state.revocations, event, origin) };
    case "FaultInjected":
    case "FaultCleared":
      return { ...state, faults: evolveFaults(state.faults, event, origin, maps) };
    default: {
      const unheard: never = event;
      return unheard;
    }
  }
}

function shifted(rule: RouteRule, to: EventOf<"TrafficShifted">["to"]): RouteRule {
  return rule.backends === undefined ? rule : { ...rule, backends: withWeights(rule.backends, to) };
}

function withMesh(state: MeshState, part: Partial<MeshSpec>, origin: Origin): MeshState {
  return state.mesh === undefined ? state : { ...state, mesh: { value: { ...state.mesh.value, ...part }, origin } };
}

function withService(
  state: NamespaceState,
  name: string,
  value: ServiceSpec,
  origin: Origin,
  maps: Maps,
): NamespaceState {
  return { ...state, services: maps.withEntry(state.services, name, { value, origin }) };
}

function withServiceField<F extends keyof ServiceSpec>(
  state: NamespaceState,
  name: string,
  field: F,
  to: ServiceSpec[F] | undefined,
  origin: Origin,
  maps: Maps,
): NamespaceState {
  const service = state.services.get(name);
  return service === undefined ? state : withService(state, name, withField(service.value, field, to), origin, maps);
}

/** A rule that the new definition repeats to the letter keeps its origin: nobody changed it, wherever it now stands. */
function defineRoute(before: RouteState | undefined, spec: RouteSpec, origin: Origin): RouteState {
  const kept = new Map<string, Origin[]>();
  // The same words about another service are another rule.
  const earlier = before?.service === spec.service ? before.rules : [];
  for (const rule of earlier) {
    const text = canonicalJson(rule.value);
    const origins = kept.get(text);
    if (origins === undefined) kept.set(text, [rule.origin]);
    else origins.push(rule.origin);
  }
  const rules = spec.rules.map((value): WithOrigin<RouteRule> => {
    return { value, origin: kept.get(canonicalJson(value))?.shift() ?? origin };
  });
  const { service, precedence } = spec;
  return { service, ...(precedence === undefined ? {} : { precedence }), rules, origin };
}

function withRouteRule(
  state: NamespaceState,
  event: EventOf<"TrafficShifted" | "RouteTimeoutSet" | "RouteRetriesSet">,
  origin: Origin,
  change: (rule: RouteRule) => RouteRule,
  maps: Maps,
): NamespaceState {
  const route = state.routes.get(event.name);
  const rule = route?.rules[event.rule];
  if (route === undefined || rule === undefined) return state;
  const rules = route.rules.with(event.rule, { value: change(rule.value), origin });
  return { ...state, routes: maps.withEntry(state.routes, event.name, { ...route, rules, origin }) };
}

function withPolicy(state: NamespaceState, name: string, policy: AccessPolicyState, maps: Maps): NamespaceState {
  return { ...state, accessPolicies: maps.withEntry(state.accessPolicies, name, policy) };
}

function declarePolicy(event: EventOf<"AccessPolicyDeclared">, origin: Origin): AccessPolicyState {
  return {
    service: event.service,
    ...(event.default === undefined ? {} : { default: event.default }),
    ...(event.dryRun === undefined ? {} : { dryRun: event.dryRun }),
    rules: [],
    origin,
  };
}

function withPolicyField<F extends "default" | "dryRun">(
  state: NamespaceState,
  name: string,
  field: F,
  to: AccessPolicyState[F],
  origin: Origin,
  maps: Maps,
): NamespaceState {
  const policy = state.accessPolicies.get(name);
  return policy === undefined ? state : withPolicy(state, name, { ...withField(policy, field, to), origin }, maps);
}

function withAccessRule(
  state: NamespaceState,
  event: EventOf<"AccessGranted" | "AccessForbidden" | "AccessAuditAdded">,
  origin: Origin,
  maps: Maps,
): NamespaceState {
  const policy = state.accessPolicies.get(event.name);
  if (policy === undefined) return state;
  const rules = policy.rules.toSpliced(event.index, 0, { value: event.rule, origin });
  return withPolicy(state, event.name, { ...policy, rules, origin }, maps);
}

function withoutAccessRule(
  state: NamespaceState,
  event: EventOf<"AccessRevoked" | "AccessForbiddanceLifted" | "AccessAuditRemoved">,
  origin: Origin,
  maps: Maps,
): NamespaceState {
  const policy = state.accessPolicies.get(event.name);
  if (policy === undefined) return state;
  return withPolicy(state, event.name, { ...policy, rules: policy.rules.toSpliced(event.index, 1), origin }, maps);
}

/** A copy with the field set, or without the field where there is no value. */
function withField<T extends object, F extends keyof T>(value: T, field: F, to: T[F] | undefined): T {
  const copy = { ...value };
  if (to === undefined) delete copy[field];
  else copy[field] = to;
  return copy;
}
