/**
 * The outbound side: calls of our own application to other services. What is done to a request, in this order:
 *
 * 1. policy is there at all             (nothing is let through on a guess) 2. it stays in the mesh               (what
 * was redirected to us and is for nobody we know goes on as it is, or not at all) 3. the path is normalised
 * (so that router, guard and application read the same one) 4. host → service, rules → backend    (route; a miss says
 * why) 5. the circuit is closed              (a service with enough on its hands gets no more, and the caller knows at
 * once) 6. the rule's filters                 (what it answers itself costs no call; what it rewrites is rewritten
 * once) 7. a forward is taken                 (of a bound on forwards: the mesh stands in for nobody's answer before
 * policy has) 8. trusted headers are set            (nobody's word is taken for what only the mesh knows; no filter can
 * set them) 9. timeout, retries, balancing        (the call; timeouts enclose retries, retries enclose balancing)
 */

import { parseServiceRef, type ServiceRef, serviceRef } from "../policy/names.ts";
import type { Edge, Workload } from "../telemetry/request-metrics.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import { flagSet } from "../telemetry/response-flags.ts";
import type { RequestHead } from "./codec/message.ts";
import { readTimeoutMs } from "./deadline.ts";
import type { Decision } from "./filters/access.ts";
import { describeDenial } from "./filters/denial.ts";
import { asksForTcp, headerValue } from "./headers.ts";
import type { InFlight } from "./in-flight.ts";
import type { Downstream } from "./io/downstream.ts";
import { takeForward } from "./max-forwards.ts";
import { Mirroring } from "./mirroring.ts";
import { isPlaintext } from "./mtls.ts";
import {
  changeRequest,
  type Declined,
  type OwnAnswer,
  ownAnswer,
  responseChange,
  withinTime,
} from "./outbound-filters.ts";
import { type PlannedCall, planCall } from "./outbound-plan.ts";
import { PASSTHROUGH, type Passthrough } from "./passthrough.ts";
import type { Policy } from "./policy.ts";
import { denialResponse, type FaultContext, faultResponse, type LocalResponse, pathFaultResponse } from "./respond.ts";
import {
  clusterName,
  faultOrigin,
  injectedFault,
  type Route,
  type RouteMiss,
  type RouteTable,
  type Upstream,
} from "./route/compile.ts";
import { type DrawnFault, drawFault } from "./route/fault-draw.ts";
import type { MatchableRequest } from "./route/match.ts";
import { normalisePath } from "./route/path.ts";
import { withFault } from "./route/rule-filters.ts";
import type { Runtime } from "./runtime.ts";
import { portIn, portOf, protocolOf, type ServicePort } from "./service-port.ts";
import type { Admission, Counter, Side } from "./side.ts";
import { countRequest, EdgeCounters, edgeCounter, type Telemetry, UNKNOWN } from "./telemetry.ts";
import type { ServiceEndpoints } from "./upstream/endpoints.ts";

export interface OutboundOptions {
  readonly runtime: Runtime;
  readonly telemetry: Telemetry;
  /** The policy in force; undefined before the first snapshot. */
  readonly policy: () => Policy | undefined;
  readonly endpoints: (service: ServiceRef) => ServiceEndpoints | undefined;
  /** What our application works on: its calls are made for it. */
  readonly inFlight: InFlight;
  /** `version` label of this instance, for metrics. */
  readonly version: string | undefined;
  /** For redirected connections that are for nobody of the mesh; absent: they are refused. */
  readonly passthrough?: Passthrough | undefined;
}

/** Longest `x-request-id` of an application that is passed on; a longer one is replaced. */
const REQUEST_ID_LENGTH_MAX = 128;

const INJECTED = flagSet("FI");
const DELAYED = flagSet("DI");

/** Why a service cannot be reached: if any rule allowed a call of ours, the snapshot would contain it. */
const NOTHING_ALLOWS: Decision = {
  allowed: false,
  reason: "default",
  origin: undefined,
  nearest: undefined,
  audit: [],
};

export class Outbound implements Side {
  readonly #options: OutboundOptions;
  /** By the compiled upstream, and so per snapshot. */
  readonly #counters: EdgeCounters<Upstream>;

  readonly #mirroring: Mirroring;

  constructor(options: OutboundOptions) {
    this.#options = options;
    const { runtime, telemetry, endpoints } = options;
    this.#mirroring = new Mirroring({ runtime, metrics: telemetry.sidecar, endpoints });
    this.#counters = new EdgeCounters(options.telemetry);
  }

  admit(request: RequestHead, downstream: Downstream, record: RequestRecord): Admission {
    const policy = this.#options.policy();
    const context: FaultContext = {
      version: request.version,
      contentType: record.isGrpc ? headerValue(request.headers, "content-type") : undefined,
    };
    if (policy === undefined) return answer(faultResponse("not_ready", context), undefined);
    const { snapshot, routes } = policy;
    record.policyRevision = snapshot.revision;
    record.sourcePrincipal = policy.spiffeId;

    const authority = meantAuthority(request, downstream, routes);
    if (authority === undefined) return this.#leaveMesh(request, downstream, policy, record, context);

    const tunnel = asksForTcp(request);
    if (!tunnel) {
      const path = normalisePath(request.path);
      if (!path.ok) return answer(pathFaultResponse(path.error, context), this.#missCounter(policy, undefined));
      request.path = path.value;
    }

    const meant = meantRequest(request, authority, downstream);
    const routing = routes.route(meant, request.path, this.#options.runtime.random, downstream.facts.remoteAddress);
    if (routing.kind === "miss") {
      record.policyOrigin = routing.origin;
      return answer(this.#missResponse(routing, policy, request, context), this.#missCounter(policy, routing.service));
    }

    const route = this.#standIn(routing, policy);
    const { upstream, rule } = route;
    const port = meantPort(upstream, request, downstream);
    record.destinationPort = port.port;
    if (tunnel !== (protocolOf(port) === "tcp")) {
      const response = faultResponse("protocol_mismatch", { ...context, service: upstream.ref });
      return answer(response, this.#missCounter(policy, upstream.ref));
    }
    const injected = tunnel ? undefined : injectedFault(upstream, meant, request.path);
    const filters = tunnel ? undefined : withFault(rule.filters, injected?.fault);
    record.routeName = rule.name;
    record.policyOrigin = rule.origin;
    const fault = filters?.fault && drawFault(filters.fault, this.#options.runtime.random);
    if (fault !== undefined && injected !== undefined) record.policyOrigin = faultOrigin(upstream.ref, injected);
    const terms = this.#options.inFlight.termsOf(record, readTimeoutMs(request.headers, record.isGrpc));
    if (filters !== undefined) {
      const own = ownAnswer(filters, fault, route, request, context);
      if (own !== undefined) {
        const declined = this.#answerOf(own, fault, record, this.#counter(upstream, port, policy));
        return withinTime(declined, rule, terms, { ...context, service: upstream.ref });
      }
    }
    const last = takeForward(request, context);
    if (last !== undefined) return answer(last, this.#counter(upstream, port, policy));
    const endpoints = this.#options.endpoints(upstream.ref);
    if (endpoints?.breaker.takes("maxRequests") === false) {
      const response = faultResponse("overflow", { ...context, service: upstream.ref });
      return answer(response, this.#counter(upstream, port, policy));
    }
    record.upstreamCluster = clusterOf(route, port);
    record.destinationPrincipal = isPlaintext(upstream.ports) ? undefined : upstream.spiffeId;
    record.requestId = requestId(record.requestId);
    if (fault !== undefined) this.#countFault(fault, record);
    const { headers } = request;
    const call: PlannedCall = { route, port, endpoints, headers, downstream, record, terms, ...fault };
    // The response is for whoever asked, so it is read from the request as it came.
    const changeResponse = tunnel ? undefined : responseChange(route, request);
    if (!tunnel) changeRequest(request, route);
    return {
      kind: "call",
      plan: planCall(this.#options.runtime, call),
      requestBytesMax: filters?.requestBytesMax,
      changeResponse,
      copy: filters && this.#mirroring.copyOf(call, request, routes),
      timeoutMs: rule.timeoutMs,
      callerTimeoutMs: terms.timeoutMs,
      idleTimeoutMs: rule.idleTimeoutMs,
      edge: tunnel ? this.#tcpCounter(upstream, port, policy) : this.#counter(upstream, port, policy),
      service: upstream.ref,
    };
  }

  #answerOf(own: OwnAnswer, fault: DrawnFault | undefined, record: RequestRecord, edge: Counter): Declined {
    const isFault = own.kind === "reset" || (own.response.flags & INJECTED) !== 0;
    if (isFault && fault !== undefined) this.#countFault(fault, record);
    const afterMs = isFault ? fault?.delayMs : undefined;
    if (own.kind === "answer") return { ...answer(own.response, edge), afterMs };
    return { kind: "reset", flags: INJECTED, details: "fault_filter_abort", edge, afterMs };
  }

  /** What is aborted has no body whose speed would matter. */
  #countFault({ delayMs, abort, bandwidth }: DrawnFault, record: RequestRecord): void {
    const { faults } = this.#options.telemetry.sidecar;
    if (delayMs !== undefined) {
      record.flags |= DELAYED;
      faults.cell({ kind: "delay" }).value++;
    }
    if (abort !== undefined) faults.cell({ kind: "abort" }).value++;
    else if (bandwidth !== undefined) faults.cell({ kind: "bandwidth" }).value++;
  }

  finished(record: RequestRecord, edge: Counter | undefined): void {
    countRequest(this.#options.telemetry, record, edge);
  }

  unreadable(record: RequestRecord): void {
    const policy = this.#options.policy();
    record.policyRevision = policy?.snapshot.revision ?? 0;
    record.sourcePrincipal = policy?.spiffeId;
    countRequest(this.#options.telemetry, record, policy && this.#missCounter(policy, undefined));
  }

  review(
    request: RequestHead,
    _downstream: Downstream,
    _record: RequestRecord,
    service: string,
  ): LocalResponse | undefined {
    const policy = this.#options.policy();
    // What leaves the mesh is no service of it.
    const called = parseServiceRef(service);
    if (policy === undefined || called === undefined) return undefined;
    if (policy.routes.upstreams.some(({ ref }) => ref === service)) return undefined;
    const contentType = headerValue(request.headers, "content-type");
    const context = { version: request.version, contentType };
    return unreachable(policy, request, serviceRef(called.namespace, called.name), context);
  }

  retried(service: string): void {
    this.#options.telemetry.sidecar.retries.cell({ upstream: service }).value++;
  }

  /** The service that takes the calls of one without an instance that is well, where policy names one. */
  #standIn(route: Route, policy: Policy): Route {
    const { failover } = route.upstream.balancing ?? {};
    const { endpoints } = this.#options;
    if (failover === undefined || endpoints(route.upstream.ref)?.isWell(route.subset) === true) return route;
    const other = policy.routes.upstreams.find(({ ref }) => ref === failover);
    // One that may not be called, or is no better, is none.
    if (other === undefined || endpoints(other.ref)?.isWell(undefined) !== true) return route;
    return { ...route, upstream: other, subset: undefined, cluster: clusterName(other, policy.snapshot.trustDomain) };
  }

  /** For a redirected connection to somebody whom the mesh does not know. */
  #leaveMesh(
    request: RequestHead,
    downstream: Downstream,
    policy: Policy,
    record: RequestRecord,
    context: FaultContext,
  ): Admission {
    const { redirect } = downstream.facts;
    const { passthrough, telemetry } = this.#options;
    if (passthrough === undefined || redirect === undefined) {
      return answer(faultResponse("outside_mesh", context), this.#missCounter(policy, undefined));
    }
    if (passthrough.isOwn(downstream)) {
      return answer(faultResponse("loop", context), this.#missCounter(policy, undefined));
    }
    const last = takeForward(request, context);
    if (last !== undefined) return answer(last, this.#missCounter(policy, undefined));
    record.routeName = "allow_any";
    record.upstreamCluster = PASSTHROUGH;
    const edge: Edge = { ...this.#unknownEdge(policy), serviceName: PASSTHROUGH, security: "none" };
    return {
      kind: "call",
      plan: passthrough.plan(downstream, redirect.destination),
      timeoutMs: undefined,
      edge: downstream.protocol === "tcp" ? this.#counters.tcp(edge) : edgeCounter(telemetry, edge),
      service: PASSTHROUGH,
    };
  }

  #missResponse(miss: RouteMiss, policy: Policy, request: RequestHead, context: FaultContext): LocalResponse {
    const { service, reason } = miss;
    if (reason !== "unreachable" || service === undefined) return faultResponse(reason, { ...context, service });
    // The called service would refuse it; saying so here spares it the work, and names the same remedy.
    this.#options.telemetry.sidecar.denied.cell({ reason: "unreachable" }).value++;
    return unreachable(policy, request, service, context);
  }

  /** For requests that go nowhere; `service` is the one that was meant, where it is known. */
  #missCounter(policy: Policy, service: ServiceRef | undefined): Counter {
    const meant = service === undefined ? undefined : parseServiceRef(service);
    const edge = this.#unknownEdge(policy);
    if (meant === undefined) return edgeCounter(this.#options.telemetry, edge);
    return edgeCounter(this.#options.telemetry, {
      ...edge,
      service: `${meant.name}.${meant.namespace}.${policy.snapshot.trustDomain}`,
      serviceName: meant.name,
      serviceNamespace: meant.namespace,
    });
  }

  #unknownEdge(policy: Policy): Edge {
    return {
      reporter: "source",
      source: this.#self(policy),
      destination: {},
      service: UNKNOWN,
      serviceName: UNKNOWN,
      serviceNamespace: UNKNOWN,
      security: "unknown",
    };
  }

  #counter(upstream: Upstream, { port }: ServicePort, policy: Policy): Counter {
    return this.#counters.http(upstream, port, () => this.#edge(upstream, port, policy));
  }

  #tcpCounter(upstream: Upstream, { port }: ServicePort, policy: Policy): Counter {
    return this.#counters.tcp(this.#edge(upstream, port, policy));
  }

  #edge(upstream: Upstream, port: number, policy: Policy): Edge {
    const { snapshot } = policy;
    return {
      reporter: "source",
      source: this.#self(policy),
      destination: {
        workload: upstream.name,
        namespace: upstream.namespace,
        principal: upstream.spiffeId,
        app: upstream.name,
      },
      service: `${upstream.name}.${upstream.namespace}.${snapshot.trustDomain}`,
      serviceName: upstream.name,
      serviceNamespace: upstream.namespace,
      port,
      security: "unknown",
    };
  }

  #self({ snapshot, spiffeId }: Policy): Workload {
    const { name, namespace } = snapshot;
    return { workload: name, namespace, principal: spiffeId, app: name, version: this.#options.version };
  }
}

function answer(response: LocalResponse, edge: Counter | undefined): Extract<Admission, { kind: "answer" }> {
  return { kind: "answer", response, edge };
}

/** A service that policy does not let us call. */
function unreachable(
  { snapshot: { namespace, name, revision } }: Policy,
  { method, path }: RequestHead,
  service: ServiceRef,
  context: FaultContext,
): LocalResponse {
  const caller = { namespace, service: name };
  const denial = describeDenial({ caller, service, method, target: path, revision, decision: NOTHING_ALLOWS });
  return denialResponse(denial, context);
}

/**
 * The authority that a request is routed by: that of the service which its listener stands for, else its own. A
 * redirected request whose authority the mesh does not know goes to the service at its original destination; undefined:
 * none there.
 */
function meantAuthority({ authority }: RequestHead, { facts }: Downstream, routes: RouteTable): string | undefined {
  const { boundTo, redirect } = facts;
  if (boundTo !== undefined) return boundTo.authority;
  return redirect === undefined || routes.names(authority) ? authority : redirect.service?.authority;
}

/** The request as rules see it: for the service, and the port of it, that its connection was made to. */
function meantRequest(request: RequestHead, authority: string, { facts }: Downstream): MatchableRequest {
  const connectedPort = facts.boundTo?.port ?? facts.redirect?.destination.port;
  if (authority === request.authority && connectedPort === undefined) return request;
  const { method, headers } = request;
  return { method, authority, headers, connectedPort };
}

/** Keeps the application's own id where it is one line of sane length, so that its logs and ours can be joined. */
function requestId(given: string | undefined): string {
  return given !== undefined && given.length <= REQUEST_ID_LENGTH_MAX ? given : crypto.randomUUID();
}

/** The port of the service that is called: by the listener, by the authority, or by where the connection was going. */
function meantPort({ ports }: Upstream, request: RequestHead, { facts }: Downstream): ServicePort {
  const { boundTo, redirect } = facts;
  const isTcp = asksForTcp(request);
  if (ports.length <= 1) return portOf(ports, isTcp);
  return boundTo === undefined
    ? portOf(ports, isTcp, portIn(request.authority), redirect?.destination.port)
    : portOf(ports, isTcp, boundTo.port);
}

/** Routes are compiled with the service's first port. */
function clusterOf({ cluster, upstream }: Route, { port }: ServicePort): string {
  return upstream.ports.length <= 1 ? cluster : cluster.replace(/^outbound\|\d+/, `outbound|${port}`);
}
