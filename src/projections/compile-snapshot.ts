/**
 * From the state of the mesh to what one service's sidecars enforce. Pure, and deterministic to the byte: the same
 * state gives the same snapshot in every replica, which is what lets replicas race and digests be compared.
 * Defaults are filled in here and nowhere else, so that documents say only what their author wrote.
 */

import { createHash } from "node:crypto";
import {
  activeRoot,
  EMPTY_NAMESPACE,
  MESH_DEFAULTS,
  type MeshState,
  type NamespaceState,
  type Origin,
  type RouteState,
  type WithOrigin,
} from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { parseServiceRef, serviceRef, spiffeId } from "../policy/names.ts";
import { localPrincipal } from "../policy/principal.ts";
import {
  DEFAULT_LOAD_BALANCER,
  parseExternalAddress,
  parseExternalIdentity,
  partsOf,
  type ServiceSpec,
} from "../policy/schema.ts";
import {
  accessDefaultOf,
  callableServices,
  mayCall,
  policiesOf,
  type ServiceName,
  trustDomainOf,
} from "./call-graph.ts";
import { compileJwt } from "./compile-jwt.ts";
import {
  compileBalancing,
  compileConnectionPool,
  compileHealthCheck,
  compileOutlierDetection,
  compileRateLimit,
} from "./compile-resilience.ts";
import { compileRevocations } from "./compile-revocations.ts";
import { compileFault, compileRouteRule } from "./compile-route.ts";
import { compilePorts } from "./mtls-modes.ts";
import { mostExactFirst } from "./route-precedence.ts";
import {
  type CalledSnapshot,
  type RuleOrigin,
  type ServiceSnapshot,
  SNAPSHOT_VERSION,
  type SnapshotAccessRule,
  type SnapshotRateLimit,
  type SnapshotUpstream,
} from "./snapshot.ts";

/** What a service enforces that is not declared: nobody may call it. */
const CLOSED: ServiceSnapshot["inbound"] = { ports: [], accessDefault: "deny", access: [], rateLimits: [] };

/**
 * The snapshot of a declared service as of `state`; undefined when the service is not declared.
 * @see closedSnapshot for what a service gets once it is removed.
 */
export function compileSnapshot(state: MeshState, service: ServiceName): ServiceSnapshot | undefined {
  const namespace = state.namespaces.get(service.namespace);
  const declared = namespace?.services.get(service.name);
  if (namespace === undefined || declared === undefined) return undefined;

  const callable = callableServices(state, service);
  const upstreams: ServiceSnapshot["upstreams"] = {};
  for (const ref of [...callable].sort()) {
    const upstream = compileUpstream(state, parsedRef(ref));
    if (upstream !== undefined) upstreams[ref] = upstream;
  }
  return {
    ...meshWide(state, service),
    ...compileRevocations(state, service, ({ namespace: of, name }) => callable.has(serviceRef(of, name))),
    inbound: compileInbound(state, service, namespace, declared.value),
    upstreams,
    unreachable: sortedNames(namespace.services).filter(
      (name) => name !== service.name && !callable.has(serviceRef(service.namespace, name)),
    ),
  };
}

/**
 * Of a snapshot, only what it takes to judge the calls that arrive. The rest of it grows with the services that this one
 * may call, which is of no use to whoever looks at every service of the mesh in turn.
 */
export function compileCalledSide(state: MeshState, service: ServiceName): CalledSnapshot {
  const namespace = state.namespaces.get(service.namespace);
  const declared = namespace?.services.get(service.name);
  if (namespace === undefined || declared === undefined) {
    return { ...compileRevocations(state, service, () => false), inbound: CLOSED };
  }
  const mayBeCalled = (called: ServiceName): boolean =>
    state.namespaces.get(called.namespace)?.services.has(called.name) === true && mayCall(state, service, called);
  return {
    ...compileRevocations(state, service, mayBeCalled),
    inbound: compileInbound(state, service, namespace, declared.value),
  };
}

function compileInbound(
  state: MeshState,
  service: ServiceName,
  namespace: NamespaceState,
  spec: ServiceSpec,
): ServiceSnapshot["inbound"] {
  return {
    ports: compilePorts(state, service.namespace, spec),
    ...compileAccessDefault(state, service),
    access: compileAccess(state, service),
    ...(spec.jwt === undefined ? {} : { jwt: compileJwt(spec.jwt) }),
    rateLimits: compileRateLimits(namespace, service),
    ...(spec.healthCheck === undefined ? {} : { healthCheck: compileHealthCheck(spec.healthCheck) }),
  };
}

/**
 * What the sidecars of a service get that is no longer declared: nobody may call it, it may call nobody. Instances
 * that outlive their declaration keep their trust bundle, so that they refuse by policy and not by a broken handshake.
 */
export function closedSnapshot(state: MeshState, service: ServiceName): ServiceSnapshot {
  return {
    ...meshWide(state, service),
    ...compileRevocations(state, service, () => false),
    inbound: CLOSED,
    upstreams: {},
    unreachable: [],
  };
}

/** The bytes that are stored and pushed: canonical JSON in UTF-8. */
export function encodeSnapshot(snapshot: ServiceSnapshot): Uint8Array {
  return new TextEncoder().encode(canonicalJson(snapshot));
}

/**
 * SHA-256 of the canonical JSON without `revision`, lower-case hex. Two snapshots of one digest are enforced alike;
 * the second need not be sent. Takes stored snapshots of any version too: all have a revision.
 */
export function snapshotDigest<S extends { readonly revision: number }>(snapshot: S): string {
  return createHash("sha256")
    .update(canonicalJson({ ...snapshot, revision: undefined }))
    .digest("hex");
}

/** The fields that every service of the mesh shares, and its own name. */
function meshWide(state: MeshState, { namespace, name }: ServiceName) {
  return {
    version: SNAPSHOT_VERSION,
    revision: state.revision,
    namespace,
    name,
    trustDomain: trustDomainOf(state),
    mtls: state.mesh?.value.mtls ?? MESH_DEFAULTS.mtls,
    trustBundle: trustBundleOf(state),
    ...activeRootOf(state),
    ...federationOf(state),
  } as const;
}

/** A root is trusted from the moment it is added, before anything is signed with it, so that rotation loses nobody. */
function trustBundleOf(state: MeshState): string[] {
  return [...state.roots.values()]
    .filter(({ status }) => status !== "retired")
    .sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1))
    .map(({ pem }) => pem);
}

function federationOf({ federation }: MeshState): Pick<ServiceSnapshot, "federation"> {
  if (federation.size === 0) return {};
  const domains = [...federation].sort(([a], [b]) => (a < b ? -1 : 1));
  return { federation: domains.map(([trustDomain, { roots }]) => ({ trustDomain, trustBundle: [...roots] })) };
}

function activeRootOf({ roots }: MeshState): { activeRoot?: string } {
  const active = activeRoot(roots);
  return active === undefined ? {} : { activeRoot: active.fingerprint };
}

function compileAccess(state: MeshState, target: ServiceName): SnapshotAccessRule[] {
  return policiesOf(state, target).flatMap(({ name, policy }) =>
    policy.rules.map(({ value: rule, origin }, index) => {
      const { action, conditions } = partsOf(rule);
      const { from, notFrom, ...rest } = conditions;
      return {
        action,
        ...(policy.dryRun === true ? { dryRun: policy.dryRun } : {}),
        ...(from === undefined ? {} : { from: localPrincipals(state, from) }),
        ...(notFrom === undefined ? {} : { notFrom: localPrincipals(state, notFrom) }),
        ...rest,
        origin: ruleOrigin(target.namespace, name, index, origin),
      };
    }),
  );
}

function localPrincipals(state: MeshState, patterns: readonly string[]): string[] {
  return patterns.map((pattern) => localPrincipal(pattern, trustDomainOf(state)));
}

function compileAccessDefault(
  state: MeshState,
  target: ServiceName,
): Pick<ServiceSnapshot["inbound"], "accessDefault" | "accessDefaultDryRun"> {
  const accessDefault = accessDefaultOf(state, target);
  const accessDefaultDryRun = accessDefaultOf(state, target, true);
  return accessDefaultDryRun === accessDefault ? { accessDefault } : { accessDefault, accessDefaultDryRun };
}

function compileRateLimits(namespace: NamespaceState, target: ServiceName): SnapshotRateLimit[] {
  return [...namespace.rateLimits]
    .filter(([, { value }]) => value.service === target.name)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, { value, origin }]) =>
      value.rules.map((rule, index) => compileRateLimit(rule, ruleOrigin(target.namespace, name, index, origin))),
    );
}

function compileUpstream(state: MeshState, target: ServiceName): SnapshotUpstream | undefined {
  const namespace = state.namespaces.get(target.namespace) ?? EMPTY_NAMESPACE;
  const declared: WithOrigin<ServiceSpec> | undefined = namespace.services.get(target.name);
  if (declared === undefined) return undefined;
  const { subsets, loadBalancer, connectionPool, outlierDetection } = declared.value;
  const balancing = loadBalancer && compileBalancing(loadBalancer, target.namespace);
  return {
    namespace: target.namespace,
    name: target.name,
    spiffeId: spiffeId(trustDomainOf(state), target.namespace, target.name),
    ports: compilePorts(state, target.namespace, declared.value),
    subsets: subsets ?? {},
    loadBalancer: loadBalancer?.algorithm ?? DEFAULT_LOAD_BALANCER,
    ...(balancing === undefined ? {} : { balancing }),
    connectionPool: compileConnectionPool(connectionPool),
    ...(outlierDetection === undefined ? {} : { outlierDetection: compileOutlierDetection(outlierDetection) }),
    routes: routesOf(namespace, target.name).flatMap(({ name, route }) => {
      const rules = route.rules.map((rule, index) =>
        compileRouteRule(
          rule.value,
          ruleOrigin(target.namespace, name, index, rule.origin),
          target.namespace,
          (callers) => localPrincipals(state, callers),
        ),
      );
      return route.precedence === undefined ? rules : mostExactFirst(rules);
    }),
    ...compileFaults(state, namespace, target),
    ...compileExternal(declared.value),
  };
}

/** Its own name takes the place of the one that it has here. */
function compileExternal({ external }: ServiceSpec): Partial<Pick<SnapshotUpstream, "spiffeId" | "external">> {
  const identity = external && parseExternalIdentity(external.identity);
  if (external === undefined || identity === undefined) return {};
  const addresses = external.addresses.flatMap((text) => parseExternalAddress(text) ?? []);
  return { spiffeId: external.identity, external: { trustDomain: identity.trustDomain, addresses } };
}

/** The latest first: whoever injects one means it to be met. */
function compileFaults(
  state: MeshState,
  { faults }: NamespaceState,
  { name }: ServiceName,
): Pick<SnapshotUpstream, "faults"> {
  const own = [...faults].filter(([, { service }]) => service === name);
  if (own.length === 0) return {};
  const ordered = own.sort(([a, { origin: x }], [b, { origin: y }]) => y.revision - x.revision || (a < b ? -1 : 1));
  return {
    faults: ordered.map(([id, { match, fault, origin }]) => {
      const { from, ...rest } = match ?? {};
      const callers = from === undefined ? {} : { from: localPrincipals(state, from) };
      return {
        id,
        match: match === undefined ? [] : [{ ...rest, ...callers }],
        fault: compileFault(fault),
        revision: origin.revision,
        actor: origin.actor,
      };
    }),
  };
}

function ruleOrigin(namespace: string, document: string, rule: number, origin: Origin): RuleOrigin {
  return { document: `${namespace}/${document}`, rule, revision: origin.revision, actor: origin.actor };
}

interface NamedRoute {
  readonly name: string;
  readonly route: RouteState;
}

/** Routes by service in order of name; and names in order. Remembered as the call graph's indexes are. */
const routeIndexes = new WeakMap<NamespaceState["routes"], ReadonlyMap<string, readonly NamedRoute[]>>();
const nameLists = new WeakMap<NamespaceState["services"], readonly string[]>();

function routesOf({ routes }: NamespaceState, service: string): readonly NamedRoute[] {
  let index = routeIndexes.get(routes);
  if (index === undefined) {
    const byService = Map.groupBy(routes, ([, route]) => route.service);
    index = new Map(
      [...byService].map(([target, own]) => [target, own.map(([name, route]) => ({ name, route })).sort(byName)]),
    );
    routeIndexes.set(routes, index);
  }
  return index.get(service) ?? [];
}

function byName(a: NamedRoute, b: NamedRoute): number {
  return a.name < b.name ? -1 : 1;
}

function sortedNames(services: NamespaceState["services"]): readonly string[] {
  const names = nameLists.get(services) ?? [...services.keys()].sort();
  nameLists.set(services, names);
  return names;
}

function parsedRef(ref: string): ServiceName {
  const service = parseServiceRef(ref);
  if (service === undefined) throw new Error(`not a service: ${ref}`);
  return service;
}
