/**
 * What the sidecars on both ends would make of a call: the very functions that they enforce with, over the very
 * snapshots that they would have. Only what policy decides is judged; whether anybody is there to answer is not.
 */

import { distrust } from "../events/external-services.ts";
import type { MeshState } from "../events/state.ts";
import { type ServiceRef, serviceRef } from "../policy/names.ts";
import { declaredServices, type ServiceName } from "../projections/call-graph.ts";
import { closedSnapshot, compileSnapshot } from "../projections/compile-snapshot.ts";
import type {
  ServiceSnapshot,
  SnapshotInjectedFault,
  SnapshotRateLimit,
  SnapshotRouteRule,
} from "../projections/snapshot.ts";
import { type Access, compileAccess, type Decision } from "../proxy/filters/access.ts";
import type { AccessPeer, AccessRequest } from "../proxy/filters/access-input.ts";
import type { Claims } from "../proxy/filters/claims.ts";
import {
  compileRoutes,
  injectedFault,
  type Route,
  type RouteMiss,
  type RouteRule,
  type RouteTable,
} from "../proxy/route/compile.ts";
import { compileMatch, type MatchableRequest } from "../proxy/route/match.ts";
import { normalisePath, type PathFault, pathEnd } from "../proxy/route/path.ts";

/** A call that somebody makes, or might make. */
export interface Call {
  readonly source: ServiceName;
  readonly destination: ServiceName;
  /** `CONNECT`, with an empty path, is how a TCP connection is put. */
  readonly method: string;
  /** With its query, as the application sends it. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly facts?: CallFacts;
}

/** What access rules may ask of a call beside the request itself. What is left out is not there. */
export interface CallFacts {
  /** Address of the caller. */
  readonly ip?: string | undefined;
  /** The server name that it asks for (SNI). */
  readonly serverName?: string | undefined;
  /** Of the called service; absent: its first. */
  readonly port?: number | undefined;
  /** Of the end user's valid token; absent: the call bears none. */
  readonly claims?: Claims | undefined;
  /** Of the instance that calls. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Of no range that anybody would name: who leaves the address out is not found in any. */
const NO_ADDRESS = "0.0.0.0";

/**
 * Why a call does not reach an application.
 * - `bad_path`: the path could be read in two ways, and is refused.
 * - `undeclared_source`, `undeclared_destination`: the mesh has no such service.
 * - `revoked`: one of the two is believed no longer.
 * - `untrusted`: the destination is another mesh's, of a trust domain that is not trusted.
 * - `unreachable`: nothing allows any call of this source to the destination.
 * - `no_route`, `no_backend`: the destination's routes have no rule for it, or one that leads nowhere.
 * - `no_token`: the destination asks for an end user's token, and the call bears none.
 * - `answered`: the rule redirects, or has a response of its own: the caller's sidecar answers.
 * - `denied`: the destination's access rules refuse it.
 */
export type Obstacle =
  | "bad_path"
  | "undeclared_source"
  | "undeclared_destination"
  | "revoked"
  | "untrusted"
  | "unreachable"
  | "no_route"
  | "no_backend"
  | "no_token"
  | "answered"
  | "denied";

/** Where a share of such calls goes. */
export interface Outcome {
  /** In (0, 1]; all of them add up to 1. */
  readonly share: number;
  readonly service: ServiceRef;
  /** Undefined: every endpoint of the service. */
  readonly subset: string | undefined;
  /** What keeps this share from arriving. */
  readonly obstacle: Obstacle | undefined;
  /** What the called side says; undefined where the call does not get so far. */
  readonly access: Decision | undefined;
}

export interface Judgement {
  /** All shares of such calls arrive. */
  readonly allowed: boolean;
  /** The first thing in the way; undefined where `allowed`. */
  readonly obstacle: Obstacle | undefined;
  readonly fault: PathFault | undefined;
  /** The path as both sidecars and the application read it; empty where it cannot be read. */
  readonly target: string;
  /** The route rule that applies; undefined where none does, or the destination has no routes. */
  readonly rule: RouteRule | undefined;
  /** The same as the snapshot has it. */
  readonly source: SnapshotRouteRule | undefined;
  readonly outcomes: readonly Outcome[];
  /** What an operator has injected into such calls. */
  readonly injected: SnapshotInjectedFault | undefined;
  /** Limits that the call is charged to at its destination, in order. */
  readonly limits: readonly SnapshotRateLimit[];
}

/** A request as the called side is asked about it. */
export interface AskedRequest {
  readonly method: string;
  /** The normalised path. */
  readonly target: string;
  readonly headers?: AccessRequest["headers"];
  readonly facts?: CallFacts | undefined;
}

interface Outbound {
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
}

interface Inbound {
  readonly snapshot: ServiceSnapshot;
  readonly access: Access;
}

/** Judges calls in one state of the mesh; what is compiled for one call serves the next. */
export class CallJudge {
  readonly #declared: ReadonlySet<ServiceRef>;
  readonly #outbound = new Map<string, Outbound>();
  readonly #inbound = new Map<ServiceRef, Inbound>();
  readonly #peers = new Map<string, AccessPeer>();

  constructor(readonly state: MeshState) {
    this.#declared = declaredServices(state);
  }

  judge(call: Call): Judgement {
    const path =
      call.method === "CONNECT" && call.path === "" ? { ok: true as const, value: "" } : normalisePath(call.path);
    const [from, to] = [refOf(call.source), refOf(call.destination)];
    if (!path.ok) return { ...NOWHERE, obstacle: "bad_path", fault: path.error };
    const target = path.value;
    if (!this.#declared.has(from)) return { ...NOWHERE, target, obstacle: "undeclared_source" };
    if (!this.#declared.has(to)) return { ...NOWHERE, target, obstacle: "undeclared_destination" };
    const { snapshot, routes } = this.#routesOf(call.source, call.facts?.labels);
    const request = requestOf(call);
    const first = routes.route(request, target, () => 0);
    if (first.kind === "miss" && first.origin === undefined) {
      // A name that the caller's sidecar does not know is a service of another namespace that it may not call.
      return { ...NOWHERE, target, obstacle: first.reason === "no_route" ? "no_route" : "unreachable" };
    }
    const source = ruleOf(snapshot, to, first);
    const draws = drawsOf(source).map(({ share, random }): Outcome => {
      return this.#outcome(
        call,
        share,
        routes.route(request, target, () => random),
        request,
        target,
      );
    });
    const outcomes = merged(draws);
    const obstacle = outcomes.find((outcome) => outcome.obstacle !== undefined)?.obstacle;
    return {
      allowed: obstacle === undefined,
      obstacle,
      fault: undefined,
      target,
      rule: first.kind === "route" ? first.rule : undefined,
      source,
      outcomes,
      injected: first.kind === "route" ? injectedFault(first.upstream, request, target)?.source : undefined,
      limits: this.#limits(call.destination, request, target),
    };
  }

  /**
   * What the called side alone makes of a request: its access rules, and whether the two may meet at all. Undefined where
   * they may not.
   */
  accessOf(
    source: ServiceName,
    destination: ServiceName,
    { method, target, headers = [], facts = {} }: AskedRequest,
  ): Decision | undefined {
    if (!this.#declared.has(refOf(source)) || !this.#declared.has(refOf(destination))) return undefined;
    const { snapshot, access } = this.inbound(destination);
    if (isRevoked(snapshot, source) || isRevoked(snapshot, destination)) return undefined;
    const { ports, jwt } = snapshot.inbound;
    const { port = ports[0]?.port ?? 0 } = facts;
    const protocol = ports.find((one) => one.port === port)?.protocol;
    const authority = authorityOf(destination, facts.port);
    const isTcp = protocol === "tcp";
    // Where no tokens are validated, rules find no claims.
    const claims = jwt === undefined ? undefined : facts.claims;
    return access(this.#peerOf(source, facts), { method, target, authority, headers, port, isTcp, claims });
  }

  /** One object for each: verdicts are remembered by it. */
  #peerOf({ namespace, name }: ServiceName, { ip = NO_ADDRESS, serverName }: CallFacts): AccessPeer {
    const key = `${namespace}/${name} ${ip} ${serverName}`;
    const peer = this.#peers.get(key) ?? { caller: { namespace, service: name }, ip, serverName };
    this.#peers.set(key, peer);
    return peer;
  }

  /** The rules that decide about calls of a service, as its sidecars compile them. */
  inbound(service: ServiceName): Inbound {
    const known = this.#inbound.get(refOf(service));
    if (known !== undefined) return known;
    const snapshot = this.#snapshot(service);
    const inbound = { snapshot, access: compileAccess(snapshot.inbound) };
    this.#inbound.set(refOf(service), inbound);
    return inbound;
  }

  #routesOf(service: ServiceName, labels: CallFacts["labels"]): Outbound {
    const key = `${refOf(service)} ${JSON.stringify(labels ?? {})}`;
    const known = this.#outbound.get(key);
    if (known !== undefined) return known;
    const snapshot = this.#snapshot(service);
    const outbound = { snapshot, routes: compileRoutes(issuingNothing(snapshot), labels) };
    this.#outbound.set(key, outbound);
    return outbound;
  }

  #snapshot(service: ServiceName): ServiceSnapshot {
    return compileSnapshot(this.state, service) ?? closedSnapshot(this.state, service);
  }

  #outcome(call: Call, share: number, routing: Route | RouteMiss, request: MatchableRequest, target: string): Outcome {
    if (routing.kind === "miss") {
      const service = routing.service ?? refOf(call.destination);
      const obstacle = routing.reason === "unreachable" ? "unreachable" : "no_backend";
      return { share, service, subset: undefined, obstacle, access: undefined };
    }
    const { upstream, subset, rule } = routing;
    const reached = { share, service: upstream.ref, subset: subset?.name };
    const { redirect, respond, rewrite } = rule.filters ?? {};
    if (redirect !== undefined || respond !== undefined) return { ...reached, obstacle: "answered", access: undefined };
    if (distrust(this.state, upstream.namespace, upstream.name) !== undefined) {
      return { ...reached, obstacle: "untrusted", access: undefined };
    }
    const decision = this.accessOf(call.source, upstream, {
      method: call.method,
      // What the called side reads is what the rule has made of it.
      target: rewrite === undefined ? target : rewrite.target(target),
      headers: request.headers,
      facts: call.facts,
    });
    if (decision === undefined) return { ...reached, obstacle: "revoked", access: undefined };
    const { jwt } = this.inbound(upstream).snapshot.inbound;
    if (jwt?.required === true && call.facts?.claims === undefined) {
      return { ...reached, obstacle: "no_token", access: undefined };
    }
    return { ...reached, obstacle: decision.allowed ? undefined : "denied", access: decision };
  }

  #limits(service: ServiceName, request: MatchableRequest, target: string): SnapshotRateLimit[] {
    const end = pathEnd(target);
    return this.inbound(service).snapshot.inbound.rateLimits.filter(({ match }) =>
      compileMatch(match)(request, target, end),
    );
  }
}

const NOWHERE = {
  allowed: false,
  fault: undefined,
  target: "",
  rule: undefined,
  source: undefined,
  outcomes: [],
  injected: undefined,
  limits: [],
} as const;

export function refOf({ namespace, name }: ServiceName): ServiceRef {
  return serviceRef(namespace, name);
}

/** As the caller's sidecar receives it: addressed by the service's full name, which every namespace may use. */
function requestOf({ destination, method, headers, facts }: Call): MatchableRequest {
  return { method, authority: authorityOf(destination, facts?.port), headers: headers.flat() };
}

function authorityOf({ namespace, name }: ServiceName, port: number | undefined): string {
  return port === undefined ? `${name}.${namespace}` : `${name}.${namespace}:${port}`;
}

/** The snapshot's own rule behind a routing: the compiled one keeps its origin. */
function ruleOf(snapshot: ServiceSnapshot, to: ServiceRef, routing: Route | RouteMiss): SnapshotRouteRule | undefined {
  const origin = routing.kind === "route" ? routing.rule.origin : routing.origin;
  return origin && snapshot.upstreams[to]?.routes.find((rule) => rule.origin === origin);
}

/** A user without the cookie is one of many, who come to the shares of the weights: judged as such, and not as one key. */
function issuingNothing(snapshot: ServiceSnapshot): ServiceSnapshot {
  const upstreams = Object.entries(snapshot.upstreams).map(([ref, upstream]) => {
    const routes = upstream.routes.map((rule) => {
      const { sticky } = rule;
      return sticky !== undefined && "issue" in sticky ? { ...rule, sticky: { cookie: sticky.cookie } } : rule;
    });
    return [ref, { ...upstream, routes }] as const;
  });
  return { ...snapshot, upstreams: Object.fromEntries(upstreams) };
}

/** For each backend that is ever drawn, its share, and a number that draws it. */
function drawsOf(rule: SnapshotRouteRule | undefined): { share: number; random: number }[] {
  const weights = (rule?.backends ?? []).map(({ weight }) => weight).filter((weight) => weight > 0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return [{ share: 1, random: 0 }];
  let before = 0;
  return weights.map((weight) => {
    const draw = { share: weight / total, random: (before + 0.5) / total };
    before += weight;
    return draw;
  });
}

/** Backends that lead to the same place are one. */
function merged(outcomes: readonly Outcome[]): Outcome[] {
  const groups = Map.groupBy(outcomes, ({ service, subset, obstacle }) => `${service} ${subset} ${obstacle}`);
  return [...groups.values()].flatMap(([first, ...rest]) =>
    first === undefined ? [] : [{ ...first, share: rest.reduce((sum, { share }) => sum + share, first.share) }],
  );
}

function isRevoked({ revocations = [] }: ServiceSnapshot, { namespace, name }: ServiceName): boolean {
  return revocations.some((entry) => entry.whole && entry.namespace === namespace && entry.name === name);
}
