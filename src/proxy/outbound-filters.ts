/**
 * What a route rule does to a request before and beside its call, in this order: preflights are answered (they are about
 * a request, and none themselves), failures are made, redirects and responses of the rule's own go out; what is left is
 * rewritten, and its headers are changed.
 */

import { flagSet } from "../telemetry/response-flags.ts";
import type { RequestHead } from "./codec/message.ts";
import type { CallerTerms } from "./deadline.ts";
import { headerValue } from "./headers.ts";
import { type FaultContext, faultResponse, type LocalResponse } from "./respond.ts";
import type { Route, RouteRule } from "./route/compile.ts";
import type { DrawnFault } from "./route/fault-draw.ts";
import type { RuleFilters } from "./route/rule-filters.ts";
import { issuing } from "./route/sticky.ts";
import { ruleResponse } from "./rule-response.ts";
import type { Admission, ResponseChange } from "./side.ts";

/** Breaks the stream off without a response. */
export interface Break {
  readonly kind: "reset";
}

/** An admission that makes no call. */
export type Declined = Exclude<Admission, { kind: "call" }>;

export type OwnAnswer = { readonly kind: "answer"; readonly response: LocalResponse } | Break;

/** The sidecar's own answer to a request, where the rule has one, or the failure that it meets. */
export function ownAnswer(
  filters: RuleFilters,
  fault: DrawnFault | undefined,
  { changeResponse, upstream }: Route,
  request: RequestHead,
  context: FaultContext,
): OwnAnswer | undefined {
  const { cors, redirect, respond, requestBytesMax } = filters;
  const origin = headerValue(request.headers, "origin");
  const finished = (response: LocalResponse): OwnAnswer => {
    cors?.changeResponse(origin, response.head.headers);
    changeResponse?.(response.head.headers);
    return { kind: "answer", response };
  };
  const preflight = cors?.preflight(request.method, request.headers);
  if (preflight !== undefined) {
    const response = ruleResponse(context, { status: 200, details: "cors_preflight", headers: preflight });
    return { kind: "answer", response };
  }
  if (fault?.abort !== undefined) {
    // Whoever speaks no gRPC would take 200 for success.
    const { status = 503, grpcStatus, reset } = fault.abort;
    if (reset === true) return { kind: "reset" };
    const body = "This failure was made on purpose: a fault is injected into calls of this service.\n";
    const content = { status, grpcStatus, body, details: "fault_filter_abort", flags: flagSet("FI") };
    return finished(ruleResponse(context, content));
  }
  if (redirect !== undefined) {
    const headers = ["location", redirect.location(request, request.path)];
    return finished(ruleResponse(context, { status: redirect.status, details: "direct_response", headers }));
  }
  if (respond !== undefined) return finished(ruleResponse(context, { ...respond, details: "direct_response" }));
  if (requestBytesMax !== undefined && (request.contentLength ?? 0) > requestBytesMax) {
    return finished(faultResponse("request_too_large", { ...context, service: upstream.ref }));
  }
  return undefined;
}

/** A failure that is held back beyond the time that the call has comes too late: its caller hears of the time. */
export function withinTime(
  declined: Declined,
  { timeoutMs: ruleMs = Number.POSITIVE_INFINITY }: RouteRule,
  { timeoutMs: callerMs = Number.POSITIVE_INFINITY }: CallerTerms,
  context: FaultContext,
): Declined {
  const timeoutMs = Math.min(ruleMs, callerMs);
  if ((declined.afterMs ?? 0) <= timeoutMs) return declined;
  const response = faultResponse(callerMs <= ruleMs ? "deadline_exceeded" : "upstream_timeout", context);
  return { kind: "answer", response, edge: declined.edge, afterMs: timeoutMs };
}

/** Makes of the request what the called service gets. It is ours alone by now. */
export function changeRequest(request: RequestHead, { changeRequest: change, rule }: Route): void {
  const rewrite = rule.filters?.rewrite;
  if (rewrite !== undefined) {
    request.path = rewrite.target(request.path);
    request.authority = rewrite.host ?? request.authority;
  }
  change?.(request.headers);
}

/**
 * What is done to the head of the response; undefined: nothing. Only the backend's has its headers changed, and brings the
 * cookie that keeps its user there; but scripts may read what they may read, also that there was no answer.
 */
export function responseChange(route: Route, request: RequestHead): ResponseChange | undefined {
  const { rule, changeResponse, setCookie } = route;
  const change = setCookie === undefined ? changeResponse : issuing(setCookie, changeResponse);
  const cors = rule.filters?.cors;
  if (cors === undefined && change === undefined) return undefined;
  const origin = headerValue(request.headers, "origin");
  return (headers, from) => {
    cors?.changeResponse(origin, headers);
    if (from === "backend") change?.(headers);
  };
}
