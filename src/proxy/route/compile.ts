/**
 * A snapshot's routes as a table, compiled once per snapshot. Per request: one `Map.get` for the service, a walk over
 * its rules until the first that matches, one draw where weights ask for it. What comes out was built with the table,
 * so routing allocates nothing, but for a sticky cookie that it issues.
 */

import { type ServiceRef, serviceRef } from "../../policy/names.ts";
import type {
  DecisionOrigin,
  RuleOrigin,
  ServiceSnapshot,
  SnapshotFault,
  SnapshotInjectedFault,
  SnapshotRetries,
  SnapshotRouteRule,
  SnapshotUpstream,
} from "../../projections/snapshot.ts";
import { compileDraw, type Draw } from "./backend-draw.ts";
import { compileDestinations, type Destinations, isUnchanged, type Reach, reachOf } from "./destinations.ts";
import { type ChangeHeaders, compileHeaderChanges } from "./header-changes.ts";
import { HostTable, hostNames } from "./host.ts";
import {
  type CallingInstance,
  compileMatch,
  type MatchableRequest,
  ownAlternatives,
  type RequestMatcher,
} from "./match.ts";
import { pathEnd } from "./path.ts";
import { compileFilters, type RuleFilters } from "./rule-filters.ts";
import { stickyKey } from "./sticky.ts";

/** A service that this one may call. One object per table: owners of pools may key by `ref`. */
export interface Upstream {
  readonly ref: ServiceRef;
  readonly namespace: string;
  readonly name: string;
  /** SPIFFE ID that its sidecars must prove. */
  readonly spiffeId: string;
  readonly ports: SnapshotUpstream["ports"];
  readonly loadBalancer: SnapshotUpstream["loadBalancer"];
  readonly balancing: SnapshotUpstream["balancing"];
  readonly connectionPool: SnapshotUpstream["connectionPool"];
  readonly outlierDetection: SnapshotUpstream["outlierDetection"];
  /** Where it is, and whose; undefined: it is one of this mesh's. */
  readonly external: SnapshotUpstream["external"];
  /** Those that are for this caller. */
  readonly faults: readonly InjectedFault[];
}

/** A failure on purpose that an operator has injected into calls of a service. */
export interface InjectedFault {
  readonly matches: RequestMatcher;
  readonly fault: SnapshotFault;
  readonly source: SnapshotInjectedFault;
}

/** A part of a service's endpoints: those that bear all of these labels. */
export interface Subset {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What the matching rule says of the request, beside where it goes. */
export interface RouteRule {
  /** `namespace/route[rule]`, as the access log's `route_name`; `default` where the service has no routes. */
  readonly name: string;
  /** Absent where the service has no routes. */
  readonly origin: RuleOrigin | undefined;
  /** For the whole request, all attempts together. */
  readonly timeoutMs: number | undefined;
  /** Without a byte either way. */
  readonly idleTimeoutMs: number | undefined;
  readonly retries: SnapshotRetries | undefined;
  /** Absent: the rule does nothing to requests but send them on. */
  readonly filters: RuleFilters | undefined;
}

/** Where a request goes. The same object for every request with the same outcome. */
export interface Route {
  readonly kind: "route";
  readonly upstream: Upstream;
  readonly rule: RouteRule;
  /** Absent: every endpoint of the upstream. */
  readonly subset: Subset | undefined;
  /** As `clusterName` has it. */
  readonly cluster: string;
  /** Of the rule, then of the backend. */
  readonly changeRequest: ChangeHeaders | undefined;
  readonly changeResponse: ChangeHeaders | undefined;
  /** The key that the mesh issues with what the backend answers, as `set-cookie` has it; absent: none. */
  readonly setCookie?: string;
}

/**
 * Why a request goes nowhere.
 * - `unknown_host`: the authority names no service of the mesh.
 * - `unreachable`: it names one that nothing allows this service to call.
 * - `no_route`: the service has routes, and none of their rules matches.
 * - `no_backend`: the matching rule sends traffic nowhere: every weight is 0, or its subset does not exist.
 */
export type MissReason = "unknown_host" | "unreachable" | "no_route" | "no_backend";

export interface RouteMiss {
  readonly kind: "miss";
  readonly reason: MissReason;
  /** The service that was meant, where it is known. */
  readonly service: ServiceRef | undefined;
  /** The rule that matched, for `no_backend`. */
  readonly origin: RuleOrigin | undefined;
}

export type Routing = Route | RouteMiss;

/** A number in [0, 1), drawn anew at each call. */
export type Random = () => number;

export interface RouteTable {
  /** Revision of the snapshot that this table was compiled from. */
  readonly revision: number;
  readonly upstreams: readonly Upstream[];
  /** What the table of the next snapshot may take over. */
  readonly parts: TableParts;
  /** Whether an authority names a service of the mesh, one that may be called or not. */
  names(authority: string): boolean;
  /**
   * `target`: the normalised path with its query (`normalisePath`). `random` is asked only where weights differ.
   * `peer`: address of the caller with its port, for rules that keep callers together; absent: not known.
   */
  route(request: MatchableRequest, target: string, random: Random, peer?: string): Routing;
  /** Where a rule's copies of requests go; undefined where that is nobody who may be called. */
  mirrorOf(rule: RouteRule, upstream: Upstream): Pick<Route, "upstream" | "subset"> | undefined;
}

interface CompiledRule {
  readonly matches: RequestMatcher;
  readonly sticky: SnapshotRouteRule["sticky"];
  readonly draw: Draw<Routing>;
}

interface CompiledService {
  readonly rules: readonly CompiledRule[];
  /** The outcome when no rule matches. */
  readonly miss: RouteMiss;
}

/**
 * The rules of one service. Compiled at their first call: a snapshot is swapped between two requests, and must not hold them
 * up for routes that nobody uses. Nothing can fail then that the snapshot's own schema has not refused.
 */
class LazyService {
  #compiled: CompiledService | undefined;

  /** @param reach as long as nothing is said anew of that, all stays as it is. */
  constructor(
    readonly reach: Reach,
    private readonly compile: () => CompiledService,
  ) {}

  get compiled(): CompiledService {
    this.#compiled ??= this.compile();
    return this.#compiled;
  }
}

/** What a table is made of, with what holds for all of it. */
interface TableParts {
  readonly self: CallingInstance;
  readonly trustDomain: string;
  readonly destinations: Destinations;
  readonly services: ReadonlyMap<ServiceRef, LazyService>;
  readonly hosts: HostTable<HostEntry>;
}

/** Names of services stay the same over most snapshots; what they stand for is looked up by `ref`. */
interface HostEntry {
  readonly ref: ServiceRef;
}

const NOBODY: Reach = new Map();
const UNKNOWN_HOST: RouteMiss = { kind: "miss", reason: "unknown_host", service: undefined, origin: undefined };

/**
 * Compiles the outbound half of a snapshot.
 * @param labels of the calling instance; without, rules that ask for labels are for others.
 * @param previous the table that this one follows: services of which nothing is said anew stay as they are compiled.
 */
export function compileRoutes(
  snapshot: ServiceSnapshot,
  labels: CallingInstance["labels"] = {},
  previous?: RouteTable,
): RouteTable {
  const { namespace, name: ownName, trustDomain, revision } = snapshot;
  const self = { namespace, name: ownName, labels };
  const known = previous !== undefined && isAlike(previous.parts, self, trustDomain) ? previous.parts : undefined;
  const destinations = compileDestinations(snapshot, self, known?.destinations);
  const services = new Map<ServiceRef, LazyService>();
  for (const [ref, destination] of destinations) {
    const before = known?.services.get(ref);
    if (before?.reach.get(ref) === destination && isUnchanged(before.reach, destinations)) {
      services.set(ref, before);
      continue;
    }
    const reach = reachOf(destination, destinations);
    const compile = (): CompiledService => compileService(destination.source, reach, self, trustDomain);
    services.set(ref, new LazyService(reach, compile));
  }
  for (const name of snapshot.unreachable) {
    const service = serviceRef(namespace, name);
    if (services.has(service)) continue;
    const miss: RouteMiss = { kind: "miss", reason: "unreachable", service, origin: undefined };
    services.set(service, new LazyService(NOBODY, () => ({ rules: [], miss })));
  }
  const hosts =
    known !== undefined && haveSameKeys(known.services, services)
      ? known.hosts
      : compileHosts(services, self, trustDomain);
  return {
    revision,
    upstreams: Array.from(destinations.values(), ({ upstream }) => upstream),
    parts: { self, trustDomain, destinations, services, hosts },
    names: (authority) => hosts.lookup(authority) !== undefined,
    mirrorOf({ filters }, { ref }) {
      const { service = ref, subset: name } = filters?.mirror ?? {};
      const { upstream, subsets } = destinations.get(service as ServiceRef) ?? {};
      const subset = name === undefined ? undefined : subsets?.get(name);
      return upstream === undefined || (name !== undefined && subset === undefined) ? undefined : { upstream, subset };
    },
    route(request, target, random, peer) {
      const named = hosts.lookup(request.authority);
      const service = named && services.get(named.ref)?.compiled;
      if (service === undefined) return UNKNOWN_HOST;
      const end = pathEnd(target);
      for (const { matches, sticky, draw } of service.rules) {
        if (!matches(request, target, end)) continue;
        if (sticky === undefined) return draw(random, undefined);
        const { key, setCookie } = stickyKey(sticky, request.headers, peer?.slice(0, peer.lastIndexOf(":")), random);
        const routing = draw(random, key);
        if (setCookie === undefined || routing.kind === "miss") return routing;
        return { ...routing, setCookie };
      }
      return service.miss;
    },
  };
}

function isAlike(parts: TableParts, self: CallingInstance, trustDomain: string): boolean {
  const { namespace, name, labels } = parts.self;
  const isSelf = namespace === self.namespace && name === self.name && labels === self.labels;
  return isSelf && parts.trustDomain === trustDomain;
}

/** In the same order, too: the first service that claims a name keeps it. */
function haveSameKeys(one: ReadonlyMap<string, unknown>, other: ReadonlyMap<string, unknown>): boolean {
  const keys = one.keys();
  for (const key of other.keys()) if (keys.next().value !== key) return false;
  return one.size === other.size;
}

function compileHosts(
  services: ReadonlyMap<ServiceRef, LazyService>,
  { namespace }: CallingInstance,
  trustDomain: string,
): HostTable<HostEntry> {
  const hosts = new HostTable<HostEntry>();
  for (const ref of services.keys()) {
    const [ofNamespace = "", name = ""] = ref.split("/");
    hosts.add(hostNames(ofNamespace, name, namespace, trustDomain), { ref });
  }
  return hosts;
}

/** The fault that is injected into a call of the service; undefined: none is. */
export function injectedFault(
  { faults }: Upstream,
  request: MatchableRequest,
  target: string,
): InjectedFault | undefined {
  if (faults.length === 0) return undefined;
  const end = pathEnd(target);
  return faults.find(({ matches }) => matches(request, target, end));
}

/** As whoever reads the access log finds the fault: `shop/catalog[fault f3a9c1]@42`. */
export function faultOrigin(document: ServiceRef, { source: { id, revision, actor } }: InjectedFault): DecisionOrigin {
  return { document, rule: `fault ${id}`, revision, actor };
}

/** `outbound|<port>|<subset>|<service>.<namespace>.<trust-domain>`, as Istio names clusters. */
export function clusterName({ ports, name, namespace }: Upstream, trustDomain: string, subset?: Subset): string {
  return `outbound|${ports[0]?.port ?? 0}|${subset?.name ?? ""}|${name}.${namespace}.${trustDomain}`;
}

const DEFAULT_RULE: RouteRule = {
  name: "default",
  origin: undefined,
  timeoutMs: undefined,
  idleTimeoutMs: undefined,
  retries: undefined,
  filters: undefined,
};

function compileService(
  source: SnapshotUpstream,
  destinations: Reach,
  self: CallingInstance,
  trustDomain: string,
): CompiledService {
  const ref = serviceRef(source.namespace, source.name);
  const miss: RouteMiss = { kind: "miss", reason: "no_route", service: ref, origin: undefined };
  if (source.routes.length > 0) {
    const rules = source.routes.flatMap((rule) => compileRule(rule, source, destinations, self, trustDomain));
    return { rules, miss };
  }
  const own = destinations.get(ref);
  if (own === undefined) return { rules: [], miss };
  const cluster = clusterName(own.upstream, trustDomain);
  const toWhole: Route = { ...TO_WHOLE, upstream: own.upstream, cluster };
  return { rules: [{ matches: () => true, sticky: undefined, draw: () => toWhole }], miss };
}

const TO_WHOLE = {
  kind: "route",
  rule: DEFAULT_RULE,
  subset: undefined,
  changeRequest: undefined,
  changeResponse: undefined,
} as const;

/** None for a rule that is about other callers. */
function compileRule(
  from: SnapshotRouteRule,
  source: SnapshotUpstream,
  destinations: Reach,
  self: CallingInstance,
  trustDomain: string,
): CompiledRule[] {
  const alternatives = ownAlternatives(from.match, self);
  if (alternatives === undefined) return [];
  const { origin, timeoutMs, idleTimeoutMs, retries, sticky } = from;
  const name = `${origin.document}[${origin.rule}]`;
  const rule: RouteRule = { name, origin, timeoutMs, idleTimeoutMs, retries, filters: compileFilters(from) };
  const called = serviceRef(source.namespace, source.name);
  const outcomeOf = ({
    service = called,
    subset: part,
    headers,
  }: Partial<SnapshotRouteRule["backends"][number]>): Routing => {
    const ref = service as ServiceRef;
    const destination = destinations.get(ref);
    const miss = { kind: "miss", service: ref, origin } as const;
    if (destination === undefined) return { ...miss, reason: "unreachable" };
    const subset = part === undefined ? undefined : destination.subsets.get(part);
    if (part !== undefined && subset === undefined) return { ...miss, reason: "no_backend" };
    const { upstream } = destination;
    return {
      kind: "route",
      upstream,
      rule,
      subset,
      cluster: clusterName(upstream, trustDomain, subset),
      changeRequest: compileHeaderChanges(from.headers?.request, headers?.request),
      changeResponse: compileHeaderChanges(from.headers?.response, headers?.response),
    };
  };
  const backends = from.backends.length > 0 ? from.backends : [{ weight: 1 }];
  const weighted = backends.map((backend: SnapshotRouteRule["backends"][number]) => ({
    weight: backend.weight,
    name: `${backend.service ?? called} ${backend.subset ?? ""}`,
    outcome: outcomeOf(backend),
  }));
  const nowhere: RouteMiss = { kind: "miss", reason: "no_backend", service: called, origin };
  return [{ matches: compileMatch(alternatives, source.ports), sticky, draw: compileDraw<Routing>(weighted, nowhere) }];
}
