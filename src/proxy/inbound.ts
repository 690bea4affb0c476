/**
 * The inbound side: calls of peers to our application. What is done to a request, in this order:
 *
 *  1. policy is there at all             (nothing is let through on a guess)
 *  2. the path is normalised             (the rule and the application must read the same one)
 *  3. plaintext is refused               (where the port asks for mutual TLS, and others of the service do not)
 *  4. the end user's token is validated  (rules may ask for its claims; one that is no good is no token at all)
 *  5. access is decided                  (before a byte reaches the application; deny wins, default from the Mesh)
 *  6. rate limits are charged            (after access: who may not call uses up nobody's share)
 *  7. a forward is taken                 (of OPTIONS and TRACE that may go no further than to us)
 *  8. trusted headers are set            (who called is what the certificate proved, never what a header claims)
 *  9. the application is called
 *
 * Who the caller is was settled before: by the TLS handshake, once per connection.
 */

import { serviceRef } from "../policy/names.ts";
import type { ServiceSnapshot } from "../projections/snapshot.ts";
import type { Edge } from "../telemetry/request-metrics.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import { flagSet } from "../telemetry/response-flags.ts";
import type { RequestHead } from "./codec/message.ts";
import { readAttempt, readTimeoutMs } from "./deadline.ts";
import type { AuditFinding, Decision } from "./filters/access.ts";
import { type AccessRequest, callerRef } from "./filters/access-input.ts";
import { describeDenial } from "./filters/denial.ts";
import { asksForTcp, headerValue } from "./headers.ts";
import type { InFlight } from "./in-flight.ts";
import type { Downstream } from "./io/downstream.ts";
import { RequestTokens } from "./jwt/request-tokens.ts";
import type { ValidToken } from "./jwt/token-verifier.ts";
import { takeForward } from "./max-forwards.ts";
import { MIRROR_FIELD } from "./mirror-field.ts";
import type { Policy } from "./policy.ts";
import {
  denialResponse,
  type FaultContext,
  faultResponse,
  isGrpc as isGrpcType,
  type LocalResponse,
  pathFaultResponse,
  rateLimitResponse,
  tokenResponse,
} from "./respond.ts";
import { normalisePath } from "./route/path.ts";
import type { Runtime } from "./runtime.ts";
import { PORT_FIELD, portIn, portOf, protocolOf, type ServicePort } from "./service-port.ts";
import type { Admission, Counter, Side } from "./side.ts";
import type { Applications } from "./sidecar/applications.ts";
import { countRequest, EdgeCounters, type Telemetry } from "./telemetry.ts";
import { type ProvenCaller, trustedHead } from "./trusted-headers.ts";
import type { CallPlan } from "./upstream/call-plan.ts";
import type { EndpointState } from "./upstream/member.ts";

export interface InboundOptions {
  readonly runtime: Runtime;
  readonly telemetry: Telemetry;
  /** The policy in force; undefined before the first snapshot. */
  readonly policy: () => Policy | undefined;
  readonly applications: Applications;
  /** Told what goes to the application and what the caller said of it. */
  readonly inFlight: InFlight;
  /** `version` label of this instance, for metrics. */
  readonly version: string | undefined;
}

/**
 * Added to a caller's deadline. A caller whose time is up resets its request and records why, so that its word should
 * come first; our own timer only ends the work where that reset cannot reach us.
 */
const CALLER_GRACE_MS = 100;

const COPY: Counter = { count: () => {} };

/** The caller went away, or its time was up. */
const CALLER_GONE = flagSet("DC") | flagSet("DT");

export class Inbound implements Side {
  readonly #options: InboundOptions;
  readonly #tokens = new RequestTokens();
  /** By connection, whose peer never changes. */
  readonly #counters: EdgeCounters<Downstream>;

  constructor(options: InboundOptions) {
    this.#options = options;
    this.#counters = new EdgeCounters(options.telemetry);
  }

  prepare(request: RequestHead): Promise<unknown> | undefined {
    const policy = this.#options.policy();
    return policy && this.#tokens.prepare(request, policy);
  }

  admit(request: RequestHead, downstream: Downstream, record: RequestRecord): Admission {
    const policy = this.#options.policy();
    const context: FaultContext = {
      version: request.version,
      contentType: record.isGrpc ? headerValue(request.headers, "content-type") : undefined,
    };
    if (policy === undefined) return answer(faultResponse("not_ready", context), undefined);
    const { snapshot, access, rateLimits } = policy;
    const { runtime } = this.#options;
    const { caller, principal } = downstream.facts;
    record.policyRevision = snapshot.revision;
    record.sourcePrincipal = principal;
    record.destinationPrincipal = policy.spiffeId;
    record.requestedServerName = downstream.facts.serverName;
    record.routeName = "inbound";
    const tunnel = asksForTcp(request);
    const port = calledPort(snapshot, request);
    record.destinationPort = port.port;
    const edge = this.#isCopy(request, principal)
      ? COPY
      : tunnel
        ? this.#tcpCounter(downstream, port.port, policy)
        : this.#counter(downstream, port.port, policy);
    const service = serviceRef(snapshot.namespace, snapshot.name);

    if (!tunnel) {
      const path = normalisePath(request.path);
      if (!path.ok) return answer(pathFaultResponse(path.error, context), edge);
      request.path = path.value;
    }
    if (tunnel !== (protocolOf(port) === "tcp")) {
      return answer(faultResponse("protocol_mismatch", { ...context, service }), edge);
    }

    if (principal === undefined && port.mtls === undefined) {
      this.#countDenial("plaintext");
      return answer(faultResponse("mtls_required", { ...context, service }), edge);
    }

    const token = this.#tokens.of(request, policy);
    if (!token.ok) {
      this.#countDenial(`token_${token.error}`);
      return answer(tokenResponse(token.error, { ...context, service }), edge);
    }

    const decision = access(downstream.facts, accessRequest(request, port.port, token.value));
    record.policyOrigin = decision.origin;
    if (decision.audit.length > 0) this.#noteAudit(decision.audit, record);
    if (!decision.allowed) {
      this.#countDenial(decision.reason === "allow_rule" ? "default" : decision.reason);
      return answer(denied(policy, downstream, request, record, decision, context), edge);
    }

    const limited = rateLimits.check(
      request,
      request.path,
      { caller: caller && callerRef(caller), claims: token.value?.claims },
      runtime.monotonicMs(),
    );
    if (limited !== undefined) {
      this.#countDenial("rate_limit");
      record.policyOrigin = limited.origin;
      return answer(rateLimitResponse(limited, { ...context, service }), edge);
    }
    const last = takeForward(request, context);
    if (last !== undefined) return answer(last, edge);
    const application = this.#options.applications.at(port.port, protocolOf(port));
    if (application === undefined) return answer(faultResponse("no_application", { ...context, service }), edge);
    record.upstreamCluster = `inbound|${port.port}||`;
    // A request is known by the id that its caller gave it; of one that proves nothing, we give it.
    if (principal === undefined) record.requestId = crypto.randomUUID();
    const plan = this.#plan(application, policy, { principal, token: token.value, requestId: record.requestId ?? "" });
    const callerTimeoutMs = tunnel ? undefined : this.#noteTerms(request, record);
    return { kind: "call", plan, timeoutMs: undefined, callerTimeoutMs, edge, service };
  }

  /** A copy that a peer's sidecar made of a request: nobody waits for it, so it is no traffic of users. */
  #isCopy({ headers }: RequestHead, principal: string | undefined): boolean {
    if (principal === undefined || headerValue(headers, MIRROR_FIELD) === undefined) return false;
    this.#options.telemetry.sidecar.mirrored.cell({ outcome: "received" }).value++;
    return true;
  }

  /** Binds what the application does for the request by what the caller says; returns how long it may work. */
  #noteTerms({ headers }: RequestHead, record: RequestRecord): number | undefined {
    const timeoutMs = readTimeoutMs(headers, record.isGrpc);
    this.#options.inFlight.began(record, { timeoutMs, attempt: readAttempt(headers) });
    return timeoutMs === undefined ? undefined : timeoutMs + CALLER_GRACE_MS;
  }

  review(request: RequestHead, downstream: Downstream, record: RequestRecord): LocalResponse | undefined {
    const policy = this.#options.policy();
    if (policy === undefined) return undefined;
    const { snapshot } = policy;
    if (
      downstream.facts.principal === undefined &&
      portOf(snapshot.inbound.ports, asksForTcp(request), record.destinationPort).mtls === undefined
    ) {
      const service = serviceRef(snapshot.namespace, snapshot.name);
      return faultResponse("mtls_required", { version: request.version, service });
    }
    const token = this.#tokens.admitted(request);
    const decision = policy.access(downstream.facts, accessRequest(request, record.destinationPort, token));
    if (decision.allowed) return undefined;
    const contentType = headerValue(request.headers, "content-type");
    return denied(policy, downstream, request, record, decision, { version: request.version, contentType });
  }

  #noteAudit(findings: readonly AuditFinding[], record: RequestRecord): void {
    record.policyAudit = findings;
    for (const { outcome, origin } of findings) {
      const rule = origin === undefined ? "none" : `${origin.document}[${origin.rule}]`;
      this.#options.telemetry.sidecar.audited.cell({ rule, outcome }).value++;
    }
  }

  #countDenial(reason: string): void {
    this.#options.telemetry.sidecar.denied.cell({ reason }).value++;
  }

  finished(record: RequestRecord, edge: Counter | undefined): void {
    this.#options.inFlight.ended(record, (record.flags & CALLER_GONE) !== 0);
    countRequest(this.#options.telemetry, record, edge);
  }

  unreadable(record: RequestRecord, downstream: Downstream): void {
    const policy = this.#options.policy();
    record.policyRevision = policy?.snapshot.revision ?? 0;
    record.sourcePrincipal = downstream.facts.principal;
    countRequest(
      this.#options.telemetry,
      record,
      policy && this.#counter(downstream, portOf(policy.snapshot.inbound.ports, false).port, policy),
    );
  }

  retried(): void {
    // Only the keep-alive race is repeated here, and that is no retry that policy made.
  }

  #plan(application: EndpointState, policy: Policy, caller: ProvenCaller): CallPlan {
    return {
      pick: (tried) => (tried.length === 0 ? application : undefined),
      retries: undefined,
      budget: undefined,
      head: (head) => (asksForTcp(head) ? head : trustedHead(head, policy, caller)),
    };
  }

  #counter(downstream: Downstream, port: number, policy: Policy): Counter {
    return this.#counters.http(downstream, port, () => this.#edge(downstream, port, policy));
  }

  #tcpCounter(downstream: Downstream, port: number, policy: Policy): Counter {
    return this.#counters.tcp(this.#edge(downstream, port, policy));
  }

  #edge(downstream: Downstream, port: number, policy: Policy): Edge {
    const { caller, principal } = downstream.facts;
    const { snapshot } = policy;
    return {
      reporter: "destination",
      source: { workload: caller?.service, namespace: caller?.namespace, principal, app: caller?.service },
      destination: {
        workload: snapshot.name,
        namespace: snapshot.namespace,
        principal: policy.spiffeId,
        app: snapshot.name,
        version: this.#options.version,
      },
      service: `${snapshot.name}.${snapshot.namespace}.${snapshot.trustDomain}`,
      serviceName: snapshot.name,
      serviceNamespace: snapshot.namespace,
      port,
      security: principal === undefined ? "none" : "mutual_tls",
    };
  }
}

function answer(response: LocalResponse, edge: Counter | undefined): Admission {
  return { kind: "answer", response, edge };
}

/** The port of our service that is called: as the calling sidecar says, or by the authority. */
function calledPort({ inbound: { ports } }: ServiceSnapshot, request: RequestHead): ServicePort {
  const { authority, headers } = request;
  const isTcp = asksForTcp(request);
  if (ports.length <= 1) return portOf(ports, isTcp);
  const said = headerValue(headers, PORT_FIELD);
  return portOf(ports, isTcp, said === undefined ? undefined : Number(said), portIn(authority));
}

/** A request as rules see it. */
function accessRequest(request: RequestHead, port: number, token: ValidToken | undefined): AccessRequest {
  const { method, path: target, authority, headers } = request;
  return { method, target, authority, headers, port, isTcp: asksForTcp(request), claims: token?.claims };
}

function denied(
  { snapshot }: Policy,
  { facts: { caller } }: Downstream,
  { method, path }: RequestHead,
  { destinationPort }: RequestRecord,
  decision: Decision,
  context: FaultContext,
): LocalResponse {
  const { revision, inbound } = snapshot;
  const service = serviceRef(snapshot.namespace, snapshot.name);
  const isGrpc = context.contentType !== undefined && isGrpcType(context.contentType);
  const port = inbound.ports.length > 1 ? destinationPort : undefined;
  const call = { caller, service, method, target: path, isGrpc, port, revision, decision };
  return denialResponse(describeDenial(call), context);
}
