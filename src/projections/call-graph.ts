/**
 * Who may call whom, read from the access policies. Both questions (whom may this service call, who may call this
 * one) are answered from an index per namespace, so that one service costs its neighbourhood and not the mesh.
 *
 * The indexes are remembered by the very map that they were made from: states are immutable and share what a change
 * did not touch, so an index lives exactly as long as the policies it describes.
 */

import {
  type AccessPolicyState,
  EMPTY_NAMESPACE,
  MESH_DEFAULTS,
  type MeshState,
  type NamespaceState,
} from "../events/state.ts";
import { type ServiceRef, serviceRef } from "../policy/names.ts";
import { ANY_CALLER, isSpiffePattern, localPrincipal, NO_IDENTITY } from "../policy/principal.ts";
import type { AccessDefault, AccessRule } from "../policy/schema.ts";
import { takesPlaintextOnly } from "./mtls-modes.ts";

/** A service, by the two names that make its reference. */
export interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

export interface NamedPolicy {
  readonly name: string;
  readonly policy: AccessPolicyState;
}

interface AccessIndex {
  /** Policies by the service that they guard, in order of policy name. */
  readonly policies: ReadonlyMap<string, readonly NamedPolicy[]>;
  /** Names of services by the caller pattern (`shop/web`, `shop/*`, `*`) that some `allow` rule for them holds. */
  readonly targets: ReadonlyMap<string, ReadonlySet<string>>;
  /** The same, the other way round: caller patterns by the service that they open. */
  readonly patterns: ReadonlyMap<string, ReadonlySet<string>>;
  /** Services whose own policies say what happens to calls that no rule speaks of. */
  readonly defaults: ReadonlyMap<string, AccessDefault>;
}

const ANYONE: readonly string[] = [ANY_CALLER];

/** Caller patterns that a rule lets in; none where it does not allow, anyone for an `allow` that names nobody. */
export function allowedPatterns(rule: AccessRule): readonly string[] {
  return "allow" in rule ? (rule.allow.from ?? ANYONE) : [];
}

/**
 * What happens to a call of a service that no rule speaks of: as its own policies say, else as the namespace or the
 * mesh does.
 * @param withDryRun as if the policies in dry run were in force.
 */
export function accessDefaultOf(state: MeshState, service: ServiceName, withDryRun = false): AccessDefault {
  const policies = policiesOf(state, service).map(({ policy }) => policy);
  return ownDefault(policies, withDryRun) ?? inheritedDefault(state, service.namespace);
}

/** Of policies that differ, one that denies. */
function ownDefault(policies: readonly AccessPolicyState[], withDryRun: boolean): AccessDefault | undefined {
  const said = policies.filter(({ dryRun }) => withDryRun || dryRun !== true).map((policy) => policy.default);
  if (said.includes("deny")) return "deny";
  return said.find((access) => access !== undefined);
}

function inheritedDefault(state: MeshState, namespace: string): AccessDefault {
  const mesh = state.mesh?.value;
  const own = Object.hasOwn(mesh?.namespaces ?? {}, namespace) ? mesh?.namespaces?.[namespace] : undefined;
  return own?.access ?? mesh?.access ?? MESH_DEFAULTS.access;
}

/** Every declared service of the mesh, in no particular order. */
export function declaredServices(state: MeshState): Set<ServiceRef> {
  const declared = new Set<ServiceRef>();
  for (const [namespace, { services }] of state.namespaces) {
    for (const name of services.keys()) declared.add(serviceRef(namespace, name));
  }
  return declared;
}

/** The access policies that guard a service, in order of policy name. */
export function policiesOf(state: MeshState, target: ServiceName): readonly NamedPolicy[] {
  return accessIndex(namespaceOf(state, target.namespace)).policies.get(target.name) ?? [];
}

/**
 * Declared services that `caller` may call: those of which some `allow` rule matches it, or every one where the
 * default is to allow. A `deny` rule does not take a service away: what it forbids is for the callee to refuse.
 */
export function callableServices(state: MeshState, caller: ServiceName): Set<ServiceRef> {
  const callable = new Set<ServiceRef>();
  const patterns = callerPatterns(state, caller);
  for (const [namespace, content] of state.namespaces) {
    const inherited = inheritedDefault(state, namespace);
    const { targets, defaults } = accessIndex(content);
    const open = inherited === "allow" ? content.services.keys() : defaults.keys();
    for (const name of open) {
      const isOpen = (defaults.get(name) ?? inherited) === "allow";
      if (isOpen && content.services.has(name)) callable.add(serviceRef(namespace, name));
    }
    for (const pattern of patterns) {
      for (const name of targets.get(pattern) ?? []) {
        if (content.services.has(name)) callable.add(serviceRef(namespace, name));
      }
    }
    for (const name of targets.get(NO_IDENTITY) ?? []) {
      if (opensToNobody(state, { namespace, name })) callable.add(serviceRef(namespace, name));
    }
  }
  return callable;
}

/** Declared services that may call `target`, by the same rules as {@link callableServices}. */
export function callersOf(state: MeshState, target: ServiceName): Set<ServiceRef> {
  if (accessDefaultOf(state, target) === "allow") return declaredServices(state);
  const patterns = [...(accessIndex(namespaceOf(state, target.namespace)).patterns.get(target.name) ?? [])];
  const named = opensToNobody(state, target) ? patterns : patterns.filter((pattern) => pattern !== NO_IDENTITY);
  return expandPatterns(state, named);
}

/** Whether a rule for callers without an identity covers services of this mesh: those that call without TLS. */
function opensToNobody(state: MeshState, { namespace, name }: ServiceName): boolean {
  const declared = namespaceOf(state, namespace).services.get(name);
  return declared !== undefined && takesPlaintextOnly(state, namespace, declared.value);
}

/** Whether a service may call `target`, by the same rules; asked also of services that are not declared. */
export function mayCall(state: MeshState, caller: ServiceName, target: ServiceName): boolean {
  if (accessDefaultOf(state, target) === "allow") return true;
  const patterns = accessIndex(namespaceOf(state, target.namespace)).patterns.get(target.name);
  if (patterns === undefined) return false;
  if (patterns.has(NO_IDENTITY) && opensToNobody(state, target)) return true;
  return callerPatterns(state, caller).some((pattern) => patterns.has(pattern));
}

/** The declared services that caller patterns stand for. */
export function expandPatterns(state: MeshState, patterns: Iterable<string>): Set<ServiceRef> {
  const expanded = new Set<ServiceRef>();
  const trustDomain = trustDomainOf(state);
  for (const written of patterns) {
    const pattern = localPrincipal(written, trustDomain);
    // Without TLS, every one of them is a caller without an identity.
    if (pattern === ANY_CALLER || pattern === NO_IDENTITY) return declaredServices(state);
    // Callers of other trust domains are no services of this mesh.
    if (isSpiffePattern(pattern)) continue;
    const slash = pattern.indexOf("/");
    const namespace = pattern.slice(0, slash);
    const name = pattern.slice(slash + 1);
    const { services } = namespaceOf(state, namespace);
    for (const member of name === "*" ? services.keys() : [name]) {
      if (services.has(member)) expanded.add(serviceRef(namespace, member));
    }
  }
  return expanded;
}

/** Every way in which a rule can name a service as a caller, and so let it in. */
function callerPatterns(state: MeshState, { namespace, name }: ServiceName): string[] {
  const own = `spiffe://${trustDomainOf(state)}`;
  const inNamespace = `${own}/ns/${namespace}`;
  return [
    ANY_CALLER,
    `${namespace}/*`,
    serviceRef(namespace, name),
    `${own}/*`,
    `${own}/ns/*`,
    `${inNamespace}/*`,
    `${inNamespace}/sa/*`,
    `${inNamespace}/sa/${name}`,
  ];
}

/** The trust domain in which the mesh's own services have their identities. */
export function trustDomainOf(state: MeshState): string {
  return state.mesh?.value.trustDomain ?? MESH_DEFAULTS.trustDomain;
}

function namespaceOf(state: MeshState, namespace: string): NamespaceState {
  return state.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
}

const accessIndexes = new WeakMap<NamespaceState["accessPolicies"], AccessIndex>();

function accessIndex(namespace: NamespaceState): AccessIndex {
  const known = accessIndexes.get(namespace.accessPolicies);
  if (known !== undefined) return known;
  const index = buildAccessIndex(namespace.accessPolicies);
  accessIndexes.set(namespace.accessPolicies, index);
  return index;
}

function buildAccessIndex(accessPolicies: NamespaceState["accessPolicies"]): AccessIndex {
  const policies = new Map<string, NamedPolicy[]>();
  const targets = new Map<string, Set<string>>();
  const patterns = new Map<string, Set<string>>();
  const defaults = new Map<string, AccessDefault>();
  for (const name of [...accessPolicies.keys()].sort()) {
    const policy = accessPolicies.get(name);
    if (policy === undefined) continue;
    listAt(policies, policy.service).push({ name, policy });
    const own = policy.dryRun === true ? undefined : policy.default;
    if (own !== undefined && defaults.get(policy.service) !== "deny") defaults.set(policy.service, own);
    // What decides nothing lets nobody in.
    for (const { value: rule } of policy.dryRun === true ? [] : policy.rules) {
      for (const pattern of allowedPatterns(rule)) {
        setAt(targets, pattern).add(policy.service);
        setAt(patterns, policy.service).add(pattern);
      }
    }
  }
  return { policies, targets, patterns, defaults };
}

function listAt<K, V>(map: Map<K, V[]>, key: K): V[] {
  const list = map.get(key) ?? [];
  map.set(key, list);
  return list;
}

function setAt<K, V>(map: Map<K, Set<V>>, key: K): Set<V> {
  const set = map.get(key) ?? new Set();
  map.set(key, set);
  return set;
}
