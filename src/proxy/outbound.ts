/**
 * The outbound side: calls of our own application to other services. What is done to a request, in this order:
 *
 *  1. policy is there at all             (nothing is let through on a guess)
 *  2. the path is normalised             (so that router, guard and application read the same one)
 *  3. host → service, rules → backend    (route; a miss says why)
 *  4. trusted headers are set            (nobody's word is taken for what only the mesh knows)
 *  5. timeout, retries, balancing        (the call; timeouts enclose retries, retries enclose balancing)
 */

import { ulid } from "ulid";
import type { ServiceRef } from "../policy/names.ts";
import type { RequestEdge } from "../telemetry/request-metrics.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import type { RequestHead } from "./codec/message.ts";
import type { Admission, Side } from "./exchange.ts";
import { grantCommand } from "./filters/denial.ts";
import { withoutFields } from "./headers.ts";
import type { Downstream } from "./io/downstream.ts";
import type { Policy } from "./policy.ts";
import { denialResponse, faultResponse, pathFaultResponse } from "./respond.ts";
import type { Route, RouteMiss, Upstream } from "./route/compile.ts";
import { normalisePath, pathEnd } from "./route/path.ts";
import type { Runtime } from "./runtime.ts";
import { countRequest, type Telemetry } from "./telemetry.ts";
import type { CallPlan } from "./upstream/call.ts";
import type { EndpointState, ServiceEndpoints } from "./upstream/endpoints.ts";
import { RetryBudget } from "./upstream/retry.ts";

export interface OutboundOptions {
  readonly runtime: Runtime;
  readonly telemetry: Telemetry;
  /** The policy in force; undefined before the first snapshot. */
  readonly policy: () => Policy | undefined;
  readonly endpoints: (service: ServiceRef) => ServiceEndpoints | undefined;
  /** `version` label of this instance, for metrics. */
  readonly version: string | undefined;
}

/** Fields that only the mesh may set. */
const TRUSTED_FIELDS: ReadonlySet<string> = new Set([
  "x-forwarded-client-cert",
  "x-envoy-attempt-count",
  "x-heddle-denied",
]);

/** What is kept per upstream beyond any snapshot. */
interface UpstreamMemory {
  readonly budget: RetryBudget;
}

export class Outbound implements Side {
  readonly #options: OutboundOptions;
  readonly #memory = new Map<ServiceRef, UpstreamMemory>();
  /** By route object, and so per snapshot. */
  #edges = new WeakMap<Upstream, RequestEdge>();

  constructor(options: OutboundOptions) {
    this.#options = options;
  }

  admit(request: RequestHead, downstream: Downstream, record: RequestRecord): Admission {
    const policy = this.#options.policy();
    const context = { version: request.version, contentType: contentTypeOf(record, request) };
    if (policy === undefined) {
      return { kind: "answer", response: faultResponse("not_ready", context), edge: undefined };
    }
    record.policyRevision = policy.snapshot.revision;
    record.sourcePrincipal = ownSpiffeId(policy);

    const path = normalisePath(request.path);
    if (!path.ok) return { kind: "answer", response: pathFaultResponse(path.error, context), edge: undefined };
    request.path = path.value;

    const routing = policy.routes.route(request, path.value, this.#options.runtime.random);
    if (routing.kind === "miss") return this.#miss(routing, policy, request, context);

    const { upstream, rule } = routing;
    record.routeName = rule.name;
    record.upstreamCluster = routing.cluster;
    record.policyOrigin = rule.origin;
    record.destinationPrincipal = upstream.spiffeId;
    return {
      kind: "call",
      plan: this.#plan(routing, downstream, record),
      timeoutMs: rule.timeoutMs,
      edge: this.#edge(upstream, policy),
      service: upstream.ref,
    };
  }

  finished(record: RequestRecord, edge: RequestEdge | undefined): void {
    countRequest(this.#options.telemetry, record, edge);
  }

  retried(service: string | undefined): void {
    this.#options.telemetry.sidecar.retries.cell(service ?? "unknown").value++;
  }

  #plan(route: Route, downstream: Downstream, record: RequestRecord): CallPlan {
    const { runtime, endpoints } = this.#options;
    const { upstream, rule, subset } = route;
    const service = endpoints(upstream.ref);
    const requestId = record.requestId ?? ulid();
    record.requestId = requestId;
    return {
      pick: (tried: readonly EndpointState[]) =>
        service?.pick(upstream.loadBalancer, subset, tried, runtime.random),
      retries: rule.retries,
      budget: rule.retries === undefined ? undefined : this.#budget(upstream.ref),
      head: (head: RequestHead, attempt: number) => outgoingHead(head, attempt, requestId, downstream),
    };
  }

  #budget(service: ServiceRef): RetryBudget {
    let memory = this.#memory.get(service);
    if (memory === undefined) {
      memory = { budget: new RetryBudget(this.#options.runtime.monotonicMs()) };
      this.#memory.set(service, memory);
    }
    return memory.budget;
  }

  #miss(
    miss: RouteMiss,
    policy: Policy,
    request: RequestHead,
    context: { readonly version: RequestHead["version"]; readonly contentType: string | undefined },
  ): Admission {
    const { snapshot } = policy;
    const { service, reason } = miss;
    if (reason !== "unreachable" || service === undefined) {
      const response = faultResponse(reason, { ...context, service });
      return { kind: "answer", response, edge: undefined };
    }
    // The called service would refuse it; saying so here spares it the work, and names the same remedy.
    this.#options.telemetry.sidecar.denied.cell("unreachable").value++;
    const from: ServiceRef = `${snapshot.namespace}/${snapshot.name}`;
    const path = request.path.slice(0, pathEnd(request.path));
    const denial = unreachableDenial(from, service, request.method, path, snapshot.revision);
    return { kind: "answer", response: denialResponse(denial, context), edge: undefined };
  }

  #edge(upstream: Upstream, policy: Policy): RequestEdge {
    let edge = this.#edges.get(upstream);
    if (edge === undefined) {
      const { snapshot } = policy;
      edge = this.#options.telemetry.requests.edge({
        reporter: "source",
        source: {
          workload: snapshot.name,
          namespace: snapshot.namespace,
          principal: ownSpiffeId(policy),
          app: snapshot.name,
          version: this.#options.version,
        },
        destination: {
          workload: upstream.name,
          namespace: upstream.namespace,
          principal: upstream.spiffeId,
          app: upstream.name,
        },
        service: `${upstream.name}.${upstream.namespace}.${snapshot.trustDomain}`,
        serviceName: upstream.name,
        serviceNamespace: upstream.namespace,
        security: "unknown",
      });
      this.#edges.set(upstream, edge);
    }
    return edge;
  }
}
