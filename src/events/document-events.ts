/**
 * From what is to what is wanted, as the narrowest events that say it. Every command comes down to documents that are
 * wanted, so this is the only place that chooses between events.
 */

import { canonicalJson, sameValue } from "../policy/canonical.ts";
import { compareDocumentNames, type DocumentName } from "../policy/document-key.ts";
import {
  type AccessDefault,
  type AccessRule,
  type MeshSpec,
  type MtlsMode,
  type PolicyDocument,
  partsOf,
  type RouteRule,
  type RouteSpec,
  type ServiceSpec,
} from "../policy/schema.ts";
import { backendWeights, withWeights } from "./backend-weights.ts";
import { documentNamed } from "./documents.ts";
import type { DomainEvent } from "./domain-events.ts";
import { listDiff } from "./list-diff.ts";
import { MESH_DEFAULTS, type MeshState } from "./state.ts";

/** A document as it shall be; undefined where there shall be none. */
export interface WantedDocument {
  readonly name: DocumentName;
  readonly document: PolicyDocument | undefined;
}

type DocumentOf<K extends PolicyDocument["kind"]> = Extract<PolicyDocument, { kind: K }>;
type AccessPolicyDocument = DocumentOf<"AccessPolicy">;
type Target = { readonly namespace: string; readonly name: string };

/**
 * The events that lead from the state to the wanted documents; none where they are there already. Additions come first,
 * in the order of kinds, and removals last, in the reverse order, so that nothing refers to what is not there.
 * There is no event for a Mesh that disappears or for a trust domain that changes: callers must refuse both.
 */
export function eventsTowards(state: MeshState, wanted: readonly WantedDocument[]): DomainEvent[] {
  const ordered = wanted.toSorted((a, b) => compareDocumentNames(a.name, b.name));
  const events: DomainEvent[] = [];
  for (const { name, document } of ordered) {
    if (document !== undefined) events.push(...eventsOfChange(documentNamed(state, name)?.document, document));
  }
  for (const { name, document } of ordered.reverse()) {
    const before = documentNamed(state, name)?.document;
    if (document === undefined && before !== undefined) events.push(...eventsOfRemoval(before));
  }
  return events;
}

interface EffectiveMesh {
  readonly trustDomain: string;
  readonly mtls: MtlsMode;
  readonly access: AccessDefault;
}

/** A Mesh with every field said: what is in force where a field is absent. */
function effectiveMesh(spec: MeshSpec): EffectiveMesh {
  const { trustDomain, mtls = MESH_DEFAULTS.mtls, access = MESH_DEFAULTS.access } = spec;
  return { trustDomain, mtls, access };
}

function eventsOfChange(before: PolicyDocument | undefined, after: PolicyDocument): DomainEvent[] {
  switch (after.kind) {
    case "Mesh":
      return meshEvents(before?.kind === "Mesh" ? before.spec : undefined, after.spec);
    case "Service":
      return serviceEvents(after.metadata, before?.kind === "Service" ? before.spec : undefined, after.spec);
    case "Route":
      return routeEvents(after.metadata, before?.kind === "Route" ? before.spec : undefined, after.spec);
    case "AccessPolicy":
      return accessPolicyEvents(before?.kind === "AccessPolicy" ? before : undefined, after);
    case "RateLimit": {
      const from = before?.kind === "RateLimit" ? before.spec : undefined;
      if (sameValue(from, after.spec)) return [];
      return [{ type: "RateLimitSet", ...after.metadata, ...(from === undefined ? {} : { from }), to: after.spec }];
    }
  }
}

function eventsOfRemoval(before: PolicyDocument): DomainEvent[] {
  switch (before.kind) {
    case "Mesh":
      return [];
    case "Service":
      return [{ type: "ServiceRemoved", ...before.metadata }];
    case "Route":
      return [{ type: "RouteRemoved", ...before.metadata, service: before.spec.service }];
    case "AccessPolicy":
      return [
        ...before.spec.rules.map((rule, index) => accessRuleLeft(before, index, rule)).reverse(),
        { type: "AccessPolicyRemoved", ...before.metadata, service: before.spec.service },
      ];
    case "RateLimit":
      return [{ type: "RateLimitRemoved", ...before.metadata, from: before.spec }];
  }
}

/** The first declaration writes the defaults out, so that history keeps what was in force should they ever change. */
function meshEvents(before: MeshSpec | undefined, after: MeshSpec): DomainEvent[] {
  const to = effectiveMesh(after);
  if (before === undefined) return [{ type: "MeshDeclared", spec: { ...after, ...to } }];
  const from = effectiveMesh(before);
  const events: DomainEvent[] = [];
  if (from.mtls !== to.mtls) events.push({ type: "MtlsModeSet", from: from.mtls, to: to.mtls });
  if (from.access !== to.access) events.push({ type: "AccessDefaultSet", from: from.access, to: to.access });
  events.push(...namespaceEvents(before.namespaces ?? {}, after.namespaces ?? {}));
  if (before.certificateTtl !== after.certificateTtl) {
    events.push({ type: "CertificateTtlDefaultSet", from: before.certificateTtl, to: after.certificateTtl });
  }
  return events;
}

type Namespaces = NonNullable<MeshSpec["namespaces"]>;

/** `constructor` is a good name for a namespace. */
function ownValue(namespaces: Namespaces, name: string): Namespaces[string] | undefined {
  return Object.hasOwn(namespaces, name) ? namespaces[name] : undefined;
}

function namespaceEvents(before: Namespaces, after: Namespaces): DomainEvent[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.flatMap((name): DomainEvent[] => {
    const change = fieldChange({ defaults: ownValue(before, name) }, { defaults: ownValue(after, name) }, "defaults");
    return change === undefined ? [] : [{ type: "NamespaceDefaultsSet", name, ...change }];
  });
}

function serviceEvents(target: Target, before: ServiceSpec | undefined, after: ServiceSpec): DomainEvent[] {
  if (before === undefined) return [{ type: "ServiceDeclared", ...target, spec: after }];
  const events: DomainEvent[] = [];
  const ports = fieldChange(before, after, "ports");
  if (ports !== undefined) events.push({ type: "ServicePortsSet", ...target, ...ports });
  const subsets = fieldChange(before, after, "subsets");
  if (subsets !== undefined) events.push({ type: "SubsetsDefined", ...target, ...subsets });
  const loadBalancer = fieldChange(before, after, "loadBalancer");
  if (loadBalancer !== undefined) events.push({ type: "LoadBalancerSet", ...target, ...loadBalancer });
  const connectionPool = fieldChange(before, after, "connectionPool");
  if (connectionPool !== undefined) events.push({ type: "ConnectionPoolSet", ...target, ...connectionPool });
  const outlierDetection = fieldChange(before, after, "outlierDetection");
  if (outlierDetection !== undefined) events.push({ type: "OutlierDetectionSet", ...target, ...outlierDetection });
  const healthCheck = fieldChange(before, after, "healthCheck");
  if (healthCheck !== undefined) events.push({ type: "HealthCheckSet", ...target, ...healthCheck });
  const certificateTtl = fieldChange(before, after, "certificateTtl");
  if (certificateTtl !== undefined) events.push({ type: "CertificateTtlSet", ...target, ...certificateTtl });
  const mtls = fieldChange(before, after, "mtls");
  if (mtls !== undefined) events.push({ type: "ServiceMtlsSet", ...target, ...mtls });
  const external = fieldChange(before, after, "external");
  if (external !== undefined) events.push({ type: "ServiceExternalSet", ...target, ...external });
  const jwt = fieldChange(before, after, "jwt");
  if (jwt !== undefined) events.push({ type: "JwtValidationSet", ...target, ...jwt });
  return events;
}

/** Rule by rule where every difference can be said narrowly; the whole route anew otherwise. */
function routeEvents(target: Target, before: RouteSpec | undefined, after: RouteSpec): DomainEvent[] {
  const defined: DomainEvent = { type: "RouteDefined", ...target, spec: after };
  const sameFrame = before?.service === after.service && before.precedence === after.precedence;
  if (!sameFrame || before.rules.length !== after.rules.length) return [defined];
  const events: DomainEvent[] = [];
  for (const [rule, to] of after.rules.entries()) {
    const from = before.rules[rule];
    const narrow = from && ruleEvents({ ...target, service: after.service, rule }, from, to);
    if (narrow === undefined) return [defined];
    events.push(...narrow);
  }
  return events;
}

/** Undefined when weights, timeout and retries do not account for all that differs. */
function ruleEvents(
  target: Target & { readonly service: string; readonly rule: number },
  before: RouteRule,
  after: RouteRule,
): DomainEvent[] | undefined {
  const events: DomainEvent[] = [];
  if (!sameValue(restOfRule(before), restOfRule(after))) return undefined;
  const { backends: was } = before;
  const { backends: shall } = after;
  if (!sameValue(was, shall)) {
    if (was === undefined || shall === undefined) return undefined;
    const to = Object.fromEntries(backendWeights(shall));
    if (!sameValue(withWeights(was, to), shall)) return undefined;
    events.push({ type: "TrafficShifted", ...target, from: Object.fromEntries(backendWeights(was)), to });
  }
  const timeout = fieldChange(before, after, "timeout");
  if (timeout !== undefined) events.push({ type: "RouteTimeoutSet", ...target, ...timeout });
  const retries = fieldChange(before, after, "retries");
  if (retries !== undefined) events.push({ type: "RouteRetriesSet", ...target, ...retries });
  return events;
}

/** What of a rule no narrow event can say. */
function restOfRule({ backends, timeout, retries, ...rest }: RouteRule): Partial<RouteRule> {
  return rest;
}

/** A policy that names another service than before ends access to the old service, rule by rule. */
function accessPolicyEvents(before: AccessPolicyDocument | undefined, after: AccessPolicyDocument): DomainEvent[] {
  if (before?.spec.service !== after.spec.service) {
    return [
      ...(before === undefined ? [] : eventsOfRemoval(before)),
      declaredPolicy(after),
      ...after.spec.rules.map((rule, index) => accessRuleEntered(after, index, rule)),
    ];
  }
  return [...policyFieldEvents(before, after), ...accessRuleEvents(before, after)];
}

function declaredPolicy({ metadata, spec }: AccessPolicyDocument): DomainEvent {
  return {
    type: "AccessPolicyDeclared",
    ...metadata,
    service: spec.service,
    ...(spec.default === undefined ? {} : { default: spec.default }),
    ...dryRunOf(spec),
  };
}

/** `dryRun: false` is what an absent one says. */
function dryRunOf({ dryRun }: AccessPolicyDocument["spec"]): { dryRun?: true } {
  return dryRun === true ? { dryRun } : {};
}

function policyFieldEvents(before: AccessPolicyDocument, after: AccessPolicyDocument): DomainEvent[] {
  const about = { ...after.metadata, service: after.spec.service };
  const events: DomainEvent[] = [];
  const change = fieldChange(before.spec, after.spec, "default");
  if (change !== undefined) events.push({ type: "AccessPolicyDefaultSet", ...about, ...change });
  const isDry = after.spec.dryRun === true;
  if ((before.spec.dryRun === true) !== isDry) {
    events.push({ type: isDry ? "AccessDryRunStarted" : "AccessDryRunEnded", ...about });
  }
  return events;
}

function accessRuleEvents(before: AccessPolicyDocument, after: AccessPolicyDocument): DomainEvent[] {
  const was = before.spec.rules;
  const shall = after.spec.rules;
  const { removals, insertions } = listDiff(was.map(canonicalJson), shall.map(canonicalJson));
  return [
    ...at(was, removals).map(([index, rule]) => accessRuleLeft(before, index, rule)),
    ...at(shall, insertions).map(([index, rule]) => accessRuleEntered(after, index, rule)),
  ];
}

const RULE_EVENTS = {
  allow: { entered: "AccessGranted", left: "AccessRevoked" },
  deny: { entered: "AccessForbidden", left: "AccessForbiddanceLifted" },
  audit: { entered: "AccessAuditAdded", left: "AccessAuditRemoved" },
} as const;

function accessRuleEntered(policy: AccessPolicyDocument, index: number, rule: AccessRule): DomainEvent {
  const type = RULE_EVENTS[partsOf(rule).action].entered;
  return { type, ...policy.metadata, service: policy.spec.service, index, rule, ...dryRunOf(policy.spec) };
}

function accessRuleLeft(policy: AccessPolicyDocument, index: number, rule: AccessRule): DomainEvent {
  const type = RULE_EVENTS[partsOf(rule).action].left;
  return { type, ...policy.metadata, service: policy.spec.service, index, rule, ...dryRunOf(policy.spec) };
}

/** Before and after of one field, absent where there is no value; undefined when nothing changed. */
function fieldChange<T, F extends keyof T>(
  before: T,
  after: T,
  field: F,
): { from?: NonNullable<T[F]>; to?: NonNullable<T[F]> } | undefined {
  const from = before[field] ?? undefined;
  const to = after[field] ?? undefined;
  if (sameValue(from, to)) return undefined;
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

function at<T>(list: readonly T[], indexes: readonly number[]): [number, T][] {
  return indexes.flatMap((index): [number, T][] => {
    const item = list[index];
    return item === undefined ? [] : [[index, item]];
  });
}
