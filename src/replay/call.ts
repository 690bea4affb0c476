/**
 * What the sidecars on both ends would make of a call: the very functions that they enforce with, over the very
 * snapshots that they would have. Only what policy decides is judged; whether anybody is there to answer is not.
 */

import { distrust } from "../events/external-services.ts";
import type { MeshState } from "../events/state.ts";
import type { ServiceRef } from "../policy/names.ts";
import { declaredServices, type ServiceName, trustDomainOf } from "../projections/call-graph.ts";
import type {
  ServiceSnapshot,
  SnapshotInjectedFault,
  SnapshotRateLimit,
  SnapshotRouteRule,
} from "../projections/snapshot.ts";
import type { Decision } from "../proxy/filters/access.ts";
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
import {
  type AskedRequest,
  authorityOf,
  CalledSides,
  type CallFacts,
  type Inbound,
  type Refusal,
  refOf,
  snapshotOf,
} from "./called-side.ts";
import { isOutsider, type Outsider, ownService, type Source } from "./source.ts";

/** A call that somebody makes, or might make. */
export interface Call {
  readonly source: Source;
  readonly destination: ServiceName;
  /** `CONNECT`, with an empty path, is how a TCP connection is put. */
  readonly method: string;
  /** With its query, as the application sends it. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly facts?: CallFacts;
}

/**
 * Why a call does not reach an application.
 * - `bad_path`: the path could be read in two ways, and is refused.
 * - `undeclared_source`, `undeclared_destination`: the mesh has no such service.
 * - `untrusted`: the destination is another mesh's, of a trust domain that is not trusted.
 * - `unreachable`: nothing allows any call of this source to the destination.
 * - `no_route`, `no_backend`: the destination's routes have no rule for it, or one that leads nowhere.
 * - `answered`: the rule redirects, or has a response of its own: the caller's sidecar answers.
 */
export type Obstacle =
  | "bad_path"
  | "undeclared_source"
  | "undeclared_destination"
  | "untrusted"
  | "unreachable"
  | "no_route"
  | "no_backend"
  | "answered"
  | Refusal;

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

/** What would become of a call, with every way that it could take. */
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

interface Outbound {
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
}

/** Judges calls in one state of the mesh; what is compiled for one call serves the next. */
export class CallJudge {
  readonly #declared: ReadonlySet<ServiceRef>;
  readonly #called: CalledSides;
  readonly #outbound = new Map<string, Outbound>();

  constructor(readonly state: MeshState) {
    this.#declared = declaredServices(state);
    this.#called = new CalledSides(state, this.#declared);
  }

  judge(call: Call): Judgement {
    const path =
      call.method === "CONNECT" && call.path === "" ? { ok: true as const, value: "" } : normalisePath(call.path);
    const source = ownService(call.source, trustDomainOf(this.state));
    const to = refOf(call.destination);
    if (!path.ok) return { ...NOWHERE, obstacle: "bad_path", fault: path.error };
    const target = path.value;
    if (!isOutsider(source) && !this.#declared.has(refOf(source))) {
      return { ...NOWHERE, target, obstacle: "undeclared_source" };
    }
    if (!this.#declared.has(to)) return { ...NOWHERE, target, obstacle: "undeclared_destination" };
    return isOutsider(source) ? this.#judgeOutsider(source, call, target) : this.#judgeService(source, call, target);
  }

  /** No sidecar of ours is on its side: it reaches the called one, which decides. */
  #judgeOutsider(source: Outsider, call: Call, target: string): Judgement {
    const { destination, method, facts } = call;
    const request = requestOf(call);
    const { headers } = request;
    const outcome = this.#called.arrival(source, destination, {
      method,
      target,
      authority: request.authority,
      headers,
      facts,
    });
    const reached = { share: 1, service: refOf(destination), subset: undefined, ...outcome };
    return {
      ...NOWHERE,
      target,
      allowed: outcome.obstacle === undefined,
      obstacle: outcome.obstacle,
      outcomes: [reached],
      limits: this.#limits(destination, request, target),
    };
  }

  #judgeService(from: ServiceName, call: Call, target: string): Judgement {
    const to = refOf(call.destination);
    const { snapshot, routes } = this.#routesOf(from, call.facts?.labels);
    const request = requestOf(call);
    const first = routes.route(request, target, () => 0);
    if (first.kind === "miss" && first.origin === undefined) {
      // A name that the caller's sidecar does not know is a service of another namespace that it may not call.
      return { ...NOWHERE, target, obstacle: first.reason === "no_route" ? "no_route" : "unreachable" };
    }
    const source = ruleOf(snapshot, to, first);
    const draws = drawsOf(source).map(({ share, random }): Outcome => {
      return this.#outcome(
        from,
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

  /** What the called side alone makes of a request; undefined where the two may not meet. */
  accessOf(source: Source, destination: ServiceName, request: AskedRequest): Decision | undefined {
    return this.#called.accessOf(source, destination, request);
  }

  /** The rules that decide about calls of a service, as its sidecars compile them. */
  inbound(service: ServiceName): Inbound {
    return this.#called.inbound(service);
  }

  #routesOf(service: ServiceName, labels: CallFacts["labels"]): Outbound {
    const key = `${refOf(service)} ${JSON.stringify(labels ?? {})}`;
    const known = this.#outbound.get(key);
    if (known !== undefined) return known;
    const snapshot = snapshotOf(this.state, service);
    const outbound = { snapshot, routes: compileRoutes(issuingNothing(snapshot), labels) };
    this.#outbound.set(key, outbound);
    return outbound;
  }

  #outcome(
    from: ServiceName,
    call: Call,
    share: number,
    routing: Route | RouteMiss,
    request: MatchableRequest,
    target: string,
  ): Outcome {
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
    const arrival = this.#called.arrival(from, upstream, {
      method: call.method,
      // What the called side reads is what the rule has made of it.
      target: rewrite === undefined ? target : rewrite.target(target),
      authority: request.authority,
      headers: request.headers,
      facts: call.facts,
    });
    return { ...reached, ...arrival };
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

/**
 * As the caller's sidecar receives it: addressed by the service's full name, which every namespace may use, unless a
 * `host` is given. Codecs take that field itself out.
 */
function requestOf({ destination, method, headers, facts }: Call): MatchableRequest {
  const host = headers.find(([name]) => name === "host")?.[1];
  const others = headers.filter(([name]) => name !== "host");
  return { method, authority: host ?? authorityOf(destination, facts?.port), headers: others.flat() };
}

/** The snapshot's own rule behind a routing: the compiled one keeps its origin. */
function ruleOf(snapshot: ServiceSnapshot, to: ServiceRef, routing: Route | RouteMiss): SnapshotRouteRule | undefined {
  const origin = routing.kind === "route" ? routing.rule.origin : routing.origin;
  return origin && snapshot.upstreams[to]?.routes.find((rule) => rule.origin === origin);
}

/**
 * A user without the cookie is one of many, who come to the shares of the weights: judged as such, and not as one key.
 */
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
