/**
 * The one file that turns faults into responses. Whatever goes wrong has a row here: the status, Envoy's flag and
 * details for log and metrics, and for the person at the other end what happened, where, and what to do.
 */

import { type FlagSet, flagSet, NO_FLAGS, type ResponseFlag } from "../telemetry/response-flags.ts";
import type { HeaderList, HttpVersion, ResponseHead } from "./codec/message.ts";
import type { Denial } from "./filters/denial.ts";
import type { RateLimited } from "./filters/rate-limit.ts";
import { DEADLINE_EXCEEDED, encodeGrpcMessage, grpcStatusOf, RESOURCE_EXHAUSTED } from "./grpc-status.ts";
import { bearerChallenge, describeTokenFault, type TokenFault } from "./jwt/token-fault.ts";
import type { MissReason } from "./route/compile.ts";
import type { PathFault } from "./route/path.ts";

/** One row: all that is the same for every request that fails so. */
interface FaultRow {
  readonly status: number;
  readonly flags: FlagSet;
  /** Envoy's `response_code_details`, or in its style where it has none. */
  readonly details: string;
  /** What happened, in a sentence. */
  readonly what: (service: string) => string;
  readonly advice: string;
  /** Where gRPC has a more exact word than its mapping of HTTP statuses. */
  readonly grpcStatus?: number;
}

function row(status: number, flag: ResponseFlag, details: string, what: FaultRow["what"], advice: string): FaultRow {
  return { status, flags: flagSet(flag), details, what, advice };
}

const RETRY_LATER = "Try again later.";
const SEE_CLUSTERS = "GET /clusters on the sidecar's admin port shows its endpoints.";
const SEE_APPLICATION = "Look into the log of the service that was called.";

const FAULTS = {
  unknown_host: row(
    404,
    "NR",
    "route_not_found",
    () => "The host names no service of the mesh, or one of another namespace that nothing allows this one to call.",
    "Use <service>, <service>.<namespace> or <service>.<namespace>.<trust-domain>; heddle explain tells which it is.",
  ),
  outside_mesh: row(
    502,
    "NR",
    "outside_mesh",
    () => "Neither the host nor the address names a service of the mesh, and this sidecar lets nothing out of it.",
    "Use <service>.<namespace>, or start the sidecar with --outbound-traffic-policy allow-any.",
  ),
  loop: row(
    508,
    "LR",
    "interception_loop",
    () => "The sidecar's own connection came back to it: interception exempts another user than the one it runs as.",
    "Run the sidecar as the user that heddle intercept --user names.",
  ),
  no_application: row(
    503,
    "UH",
    "no_application_for_port",
    (service) => `The sidecar of ${service} was told of no application for this port.`,
    "Start it with --app PORT=HOST:PORT for each port of the Service.",
  ),
  no_route: row(
    404,
    "NR",
    "route_not_found",
    (service) => `No rule of the Route of ${service} matches this request.`,
    "Add a rule without a match if the rest of the traffic should go somewhere.",
  ),
  unreachable: row(
    403,
    "RBAC",
    "rbac_access_denied_unreachable_upstream",
    (service) => `Nothing allows this service to call ${service}.`,
    "An AccessPolicy of the called service must allow it: heddle allow <from> <to>.",
  ),
  protocol_mismatch: row(
    502,
    "NR",
    "route_protocol_mismatch",
    (service) => `${service} is declared for another protocol than the request speaks.`,
    "A tcp service is reached through a port of its own (sidecar --upstream), an http one by requests, not CONNECT.",
  ),
  no_backend: row(
    503,
    "UH",
    "no_healthy_upstream",
    (service) => `The matching rule of the Route of ${service} sends traffic nowhere.`,
    "Give at least one existing subset a weight above 0.",
  ),
  no_healthy_upstream: row(
    503,
    "UH",
    "no_healthy_upstream",
    (service) => `No healthy endpoint of ${service}.`,
    SEE_CLUSTERS,
  ),
  connect_failure: row(
    503,
    "UF",
    "upstream_reset_before_response_started{connection_failure}",
    (service) => `Could not connect to ${service}.`,
    SEE_CLUSTERS,
  ),
  overflow: row(
    503,
    "UO",
    "upstream_reset_before_response_started{overflow}",
    (service) => `Too many requests wait for ${service} already.`,
    RETRY_LATER,
  ),
  retry_limit: row(
    503,
    "URX",
    "upstream_retry_limit_exceeded",
    (service) => `Every attempt that policy allows failed on ${service}.`,
    SEE_CLUSTERS,
  ),
  upstream_timeout: {
    ...row(
      504,
      "UT",
      "upstream_response_timeout",
      (service) => `${service} did not answer within the Route's timeout.`,
      "Raise the timeout, or look into why the service is slow.",
    ),
    grpcStatus: DEADLINE_EXCEEDED,
  },
  per_try_timeout: {
    ...row(
      504,
      "UT",
      "upstream_per_try_timeout",
      (service) => `${service} did not answer within the time of one attempt.`,
      "Raise the Route's perTryTimeout, or look into why the service is slow.",
    ),
    grpcStatus: DEADLINE_EXCEEDED,
  },
  upstream_reset: row(
    503,
    "UC",
    "upstream_reset_before_response_started{connection_termination}",
    (service) => `The connection ended before an answer came from ${service}.`,
    SEE_APPLICATION,
  ),
  upstream_remote_reset: row(
    503,
    "UR",
    "upstream_reset_before_response_started{remote_reset}",
    (service) => `The request was reset by ${service}.`,
    SEE_APPLICATION,
  ),
  upstream_protocol_error: row(
    502,
    "UPE",
    "upstream_reset_before_response_started{protocol_error}",
    (service) => `The answer of ${service} broke HTTP.`,
    SEE_APPLICATION,
  ),
  downstream_disconnect: row(
    499,
    "DC",
    "downstream_remote_disconnect",
    (service) => `The caller went away before ${service} answered.`,
    RETRY_LATER,
  ),
  downstream_protocol_error: row(
    400,
    "DPE",
    "downstream_protocol_error",
    () => "The request broke HTTP.",
    "response_code_details in the sidecar's access log names the rule.",
  ),
  request_timeout: row(
    408,
    "DPE",
    "downstream_request_timeout",
    () => "The request did not come to its end in time.",
    RETRY_LATER,
  ),
  mtls_required: row(
    403,
    "UAEX",
    "mtls_required",
    (service) => `${service} takes no plaintext: callers must prove who they are.`,
    "Call through a Heddle sidecar; spec.mtls of its Service says what may come in.",
  ),
  token_keys_unavailable: row(
    503,
    "UAEX",
    "jwt_authn_access_denied{keys_unavailable}",
    (service) => `${service} cannot verify tokens: the keys of their issuer cannot be had.`,
    "Try again later; the sidecar's log says why.",
  ),
  rate_limited: row(
    429,
    "RL",
    "request_rate_limited",
    (service) => `The rate limit of ${service} is reached.`,
    RETRY_LATER,
  ),
  request_too_large: {
    ...row(
      413,
      "DPE",
      "request_payload_too_large",
      (service) => `The request is larger than the Route of ${service} allows.`,
      "Send less at once, or raise the rule's maxRequestBytes.",
    ),
    flags: NO_FLAGS,
    grpcStatus: RESOURCE_EXHAUSTED,
  },
  draining: row(
    503,
    "LR",
    "sidecar_draining",
    (service) => `The sidecar on the way to ${service} is shutting down.`,
    "Try again: another instance takes over.",
  ),
  not_ready: row(
    503,
    "LR",
    "sidecar_not_ready",
    (service) => `The sidecar on the way to ${service} has no policy or certificate yet.`,
    "Look at /healthz/ready and the sidecar's log.",
  ),
  deadline_exceeded: {
    ...row(
      504,
      "DT",
      "downstream_deadline_exceeded",
      (service) => `The caller's own deadline passed before ${service} answered.`,
      "Give the call a longer deadline, or look into why the service is slow.",
    ),
    grpcStatus: DEADLINE_EXCEEDED,
  },
  internal: row(
    500,
    "LR",
    "sidecar_internal_error",
    (service) => `The sidecar on the way to ${service} failed.`,
    "This is a fault of Heddle: the sidecar's log says more.",
  ),
} as const satisfies Record<MissReason, FaultRow> & Record<string, FaultRow>;

export type FaultName = keyof typeof FAULTS;

/** What the form of a response depends on. */
export interface FaultContext {
  /** HTTP version of the downstream connection. */
  readonly version: HttpVersion;
  /** The request's `content-type`, if it had one: gRPC callers get a gRPC status. */
  readonly contentType?: string | undefined;
  /** The service that was meant, as `namespace/name`. Never what the client sent. */
  readonly service?: string | undefined;
  /** More exact than the row's: a codec's detail, that of the last attempt. lower_snake_case, never the client's. */
  readonly details?: string | undefined;
  /** In place of the row's: 413, 414, 431, 501 or 505 of a protocol error. */
  readonly status?: number | undefined;
  /** Beside the row's: `UF` beside `URX`. */
  readonly flags?: FlagSet | undefined;
}

/** A complete response of the proxy itself. Whoever answers HEAD sends the head alone. */
export interface LocalResponse {
  readonly head: ResponseHead;
  /** Empty for gRPC: its status is in the head (a response of trailers only). */
  readonly body: Uint8Array;
  readonly flags: FlagSet;
  readonly details: string;
  /** Set for gRPC callers. */
  readonly grpcStatus: number | undefined;
}

/** The response to a fault. */
export function faultResponse(name: FaultName, context: FaultContext): LocalResponse {
  const fault: FaultRow = FAULTS[name];
  const what = fault.what(context.service ?? "the service");
  return localResponse(context, {
    status: context.status ?? fault.status,
    grpcStatus: fault.grpcStatus,
    flags: fault.flags | (context.flags ?? NO_FLAGS),
    details: context.details ?? fault.details,
    line: what,
    body: `${what}\nWhat to do: ${fault.advice}\n`,
    headers: name === "overflow" ? ["x-envoy-overloaded", "true"] : [],
  });
}

/** What ends a gRPC response that is under way when the fault befalls it. */
export function faultTrailers(name: FaultName, { service = "the service" }: FaultContext): HeaderList {
  const fault: FaultRow = FAULTS[name];
  return grpcFields(fault.grpcStatus ?? grpcStatusOf(fault.status), fault.what(service));
}

/** The same for a response that comes too late to be sent as one. */
export function grpcTrailersOf({ head: { headers } }: LocalResponse): HeaderList {
  return headers.flatMap((name, at) => (at % 2 === 0 && name.startsWith("grpc-") ? [name, headers[at + 1] ?? ""] : []));
}

/** The flags of a fault that befell a response already under way, where no other response can tell of it. */
export function faultFlags(name: FaultName): FlagSet {
  return FAULTS[name].flags;
}

/** The response to a request whose path has no one reading. */
export function pathFaultResponse(fault: PathFault, context: FaultContext): LocalResponse {
  return faultResponse("downstream_protocol_error", { ...context, details: fault });
}

/** The response to a call that access policy does not allow. */
export function denialResponse(denial: Denial, context: FaultContext): LocalResponse {
  return localResponse(context, {
    status: 403,
    grpcStatus: undefined,
    flags: flagSet("RBAC") | (context.flags ?? NO_FLAGS),
    details: denial.details,
    line: denial.header,
    body: denial.body,
    headers: ["x-heddle-denied", denial.header],
  });
}

/** The response to a request whose token is missing or no good. */
export function tokenResponse(fault: TokenFault, context: FaultContext & { readonly service: string }): LocalResponse {
  if (fault === "keys_unavailable") return faultResponse("token_keys_unavailable", context);
  const { service } = context;
  const line = `${service} wants a valid end-user token: ${describeTokenFault(fault)}.`;
  const advice = "Send `Authorization: Bearer` with a token that one of its issuers signed for it.";
  return localResponse(context, {
    status: 401,
    grpcStatus: undefined,
    flags: flagSet("UAEX"),
    details: `jwt_authn_access_denied{${fault}}`,
    line,
    body: `${line}\nWhat to do: ${advice}\n`,
    headers: ["www-authenticate", bearerChallenge(service, fault)],
  });
}

/** The response to a request beyond a rate limit: when to come back (RFC 9110 §10.2.3), and how much there is. */
export function rateLimitResponse(limited: RateLimited, context: FaultContext): LocalResponse {
  const response = faultResponse("rate_limited", context);
  const seconds = String(Math.max(1, Math.ceil(limited.retryAfterMs / 1000)));
  const limit = [
    "x-ratelimit-limit",
    String(limited.limit),
    "x-ratelimit-remaining",
    "0",
    "x-ratelimit-reset",
    seconds,
  ];
  const headers = [...response.head.headers, "retry-after", seconds, ...limit];
  return { ...response, head: { ...response.head, headers } };
}

interface LocalContent {
  readonly status: number;
  /** Undefined: the one that gRPC maps `status` to. */
  readonly grpcStatus: number | undefined;
  readonly flags: FlagSet;
  readonly details: string;
  /** One line of printable ASCII, for `grpc-message`. */
  readonly line: string;
  /** For people who read the response in a terminal. */
  readonly body: string;
  readonly headers: HeaderList;
}

const encoder = new TextEncoder();
const NO_BODY = new Uint8Array(0);

/** A response of our own, in the form that the caller understands. */
export function localResponse({ version, contentType }: FaultContext, content: LocalContent): LocalResponse {
  const { flags, details, headers } = content;
  if (!isGrpc(contentType)) {
    const body = encoder.encode(content.body);
    const all = ["server", "heddle", "content-type", "text/plain; charset=utf-8", ...headers];
    const head = { status: content.status, headers: all, contentLength: body.byteLength, version };
    return { head, body, flags, details, grpcStatus: undefined };
  }
  const grpcStatus = content.grpcStatus ?? grpcStatusOf(content.status);
  const fields = grpcFields(grpcStatus, content.line);
  const all = ["server", "heddle", "content-type", "application/grpc", ...fields, ...headers];
  return { head: { status: 200, headers: all, contentLength: 0, version }, body: NO_BODY, flags, details, grpcStatus };
}

function grpcFields(status: number, message: string): HeaderList {
  return ["grpc-status", String(status), "grpc-message", encodeGrpcMessage(message)];
}

/** `application/grpc`, with or without `+proto` or parameters; not `application/grpc-web`, which browsers speak. */
export function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:$|[+; ])/i.test(contentType);
}
