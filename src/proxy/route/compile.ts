/**
 * A snapshot's routes as a table, compiled once per snapshot. Per request: one `Map.get` for the service, a walk over
 * its rules until the first that matches, one draw where weights ask for it. What comes out was built with the table,
 * so routing allocates nothing.
 */

import { type ServiceRef, serviceRef } from "../../policy/names.ts";
import type {
  RuleOrigin,
  ServiceSnapshot,
  SnapshotRetries,
  SnapshotRouteRule,
  SnapshotUpstream,
} from "../../projections/snapshot.ts";
import { HostTable, hostNames } from "./host.ts";
import {
  type CallingInstance,
  compileMatch,
  type MatchableRequest,
  ownAlternatives,
  type RequestMatcher,
} from "./match.ts";
import { pathEnd } from "./path.ts";

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
  /** Whether an authority names a service of the mesh, one that may be called or not. */
  names(authority: string): boolean;
  /** `target`: the normalised path with its query (`normalisePath`). `random` is asked only where weights differ. */
  route(request: MatchableRequest, target: string, random: Random): Routing;
}

type Pick = (random: Random) => Routing;

interface CompiledRule {
  readonly matches: RequestMatcher;
  readonly pick: Pick;
}

interface CompiledService {
  readonly rules: readonly CompiledRule[];
  /** The outcome when no rule matches. */
  readonly miss: RouteMiss;
}

const UNKNOWN_HOST: RouteMiss = { kind: "miss", reason: "unknown_host", service: undefined, origin: undefined };

/**
 * Compiles the outbound half of a snapshot.
 * @param labels of the calling instance; without, rules that ask for labels are for others.
 */
export function compileRoutes(snapshot: ServiceSnapshot, labels: CallingInstance["labels"] = {}): RouteTable {
  const { namespace, name: ownName, trustDomain, revision } = snapshot;
  const self = { namespace, name: ownName, labels };
  const hosts = new HostTable<CompiledService>();
  const upstreams: Upstream[] = [];
  for (const source of Object.values(snapshot.upstreams)) {
    const upstream = compileUpstream(source);
    upstreams.push(upstream);
    hosts.add(
      hostNames(source.namespace, source.name, namespace, trustDomain),
      compileService(source, upstream, self, trustDomain),
    );
  }
  for (const name of snapshot.unreachable) {
    const service = serviceRef(namespace, name);
    const miss: RouteMiss = { kind: "miss", reason: "unreachable", service, origin: undefined };
    hosts.add(hostNames(namespace, name, namespace, trustDomain), { rules: [], miss });
  }
  return {
    revision,
    upstreams,
    names: (authority) => hosts.lookup(authority) !== undefined,
    route(request, target, random) {
      const service = hosts.lookup(request.authority);
      if (service === undefined) return UNKNOWN_HOST;
      const end = pathEnd(target);
      for (const rule of service.rules) if (rule.matches(request, target, end)) return rule.pick(random);
      return service.miss;
    },
  };
}

function compileUpstream(source: SnapshotUpstream): Upstream {
  const { namespace, name, spiffeId, ports, loadBalancer, balancing, connectionPool, outlierDetection } = source;
  const ref = serviceRef(namespace, name);
  return { ref, namespace, name, spiffeId, ports, loadBalancer, balancing, connectionPool, outlierDetection };
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
};

function compileService(
  source: SnapshotUpstream,
  upstream: Upstream,
  self: CallingInstance,
  trustDomain: string,
): CompiledService {
  const subsets = new Map(Object.entries(source.subsets).map(([name, labels]) => [name, { name, labels }]));
  const routeTo = (rule: RouteRule, subset: Subset | undefined): Route => {
    return { kind: "route", upstream, rule, subset, cluster: clusterName(upstream, trustDomain, subset) };
  };
  const compileRule = (from: SnapshotRouteRule): CompiledRule[] => {
    const alternatives = ownAlternatives(from.match, self);
    if (alternatives === undefined) return [];
    const { origin, timeoutMs, idleTimeoutMs, retries } = from;
    const rule: RouteRule = { name: `${origin.document}[${origin.rule}]`, origin, timeoutMs, idleTimeoutMs, retries };
    const nowhere: RouteMiss = { kind: "miss", reason: "no_backend", service: upstream.ref, origin };
    const backends = from.backends.length > 0 ? from.backends : [{ weight: 1 }];
    const outcomes = backends.map(({ weight, subset: name }): Weighted => {
      if (name === undefined) return { weight, outcome: routeTo(rule, undefined) };
      const subset = subsets.get(name);
      return { weight, outcome: subset === undefined ? nowhere : routeTo(rule, subset) };
    });
    return [{ matches: compileMatch(alternatives, source.ports), pick: compilePick(outcomes, nowhere) }];
  };
  const toWhole = routeTo(DEFAULT_RULE, undefined);
  const rules =
    source.routes.length === 0 ? [{ matches: () => true, pick: () => toWhole }] : source.routes.flatMap(compileRule);
  return { rules, miss: { kind: "miss", reason: "no_route", service: upstream.ref, origin: undefined } };
}

interface Weighted {
  readonly weight: number;
  readonly outcome: Routing;
}

/** Draws by weight from a table of cumulative integers: the first sum above the ticket. Weight 0 is never drawn. */
function compilePick(outcomes: readonly Weighted[], nowhere: RouteMiss): Pick {
  const drawable = outcomes.filter(({ weight }) => weight > 0);
  const [only] = drawable;
  if (only === undefined) return () => nowhere;
  if (drawable.length === 1) return () => only.outcome;
  let total = 0;
  const sums = drawable.map(({ weight }) => (total += weight));
  return (random) => {
    const ticket = Math.floor(random() * total);
    const at = sums.findIndex((sum) => ticket < sum);
    return drawable[at]?.outcome ?? nowhere;
  };
}
