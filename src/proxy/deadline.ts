/**
 * How long a caller waits, carried from hop to hop so that nobody works for one who has given up: in Envoy's header, and
 * for gRPC in its own (gRPC over HTTP/2, "Timeout"). All times are milliseconds that are left.
 */

import type { HeaderList } from "./codec/message.ts";
import { formatGrpcTimeout, parseGrpcTimeout } from "./grpc-timeout.ts";
import { headerValue } from "./headers.ts";

/** What a sidecar tells the next hop, and that hop its application, which may pass it on. */
const EXPECTED_TIMEOUT = "x-envoy-expected-rq-timeout-ms";
/** What an application asks of its own sidecar; it can only shorten what policy allows. */
const UPSTREAM_TIMEOUT = "x-envoy-upstream-rq-timeout-ms";
const GRPC_TIMEOUT = "grpc-timeout";
const ATTEMPT_COUNT = "x-envoy-attempt-count";

/** Written anew by the outbound side for each attempt. */
export const HOP_FIELDS: readonly string[] = [EXPECTED_TIMEOUT, UPSTREAM_TIMEOUT, ATTEMPT_COUNT];

const MILLISECONDS = /^[1-9]\d{0,8}$/;
const COUNT = /^[1-9]\d{0,3}$/;

/** What a request says about those who wait for it. */
export interface CallerTerms {
  /** Undefined: nobody said. */
  readonly timeoutMs: number | undefined;
  /** Above 1: it repeats one that failed, or is made for one that does. */
  readonly attempt: number;
}

/** The shortest time that a request states; undefined where it states none. */
export function readTimeoutMs(headers: HeaderList, isGrpc: boolean): number | undefined {
  let timeoutMs: number | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at];
    let statedMs: number | undefined;
    if (name === EXPECTED_TIMEOUT || name === UPSTREAM_TIMEOUT) statedMs = milliseconds(headers[at + 1]);
    else if (name === GRPC_TIMEOUT && isGrpc) statedMs = parseGrpcTimeout(headers[at + 1] ?? "");
    if (statedMs !== undefined && (timeoutMs === undefined || statedMs < timeoutMs)) timeoutMs = statedMs;
  }
  return timeoutMs;
}

/** Which attempt a peer's request is; 1 where it says nothing. */
export function readAttempt(headers: HeaderList): number {
  const text = headerValue(headers, ATTEMPT_COUNT);
  return text !== undefined && COUNT.test(text) ? Number(text) : 1;
}

/** Tells the next hop what is left; rounded up to a millisecond, since none at all would mean no limit. */
export function writeTimeout(headers: HeaderList, remainingMs: number, isGrpc: boolean): void {
  headers.push(EXPECTED_TIMEOUT, String(Math.max(1, Math.ceil(remainingMs))));
  if (!isGrpc) return;
  const text = formatGrpcTimeout(remainingMs);
  if (headerValue(headers, GRPC_TIMEOUT) === undefined) headers.push(GRPC_TIMEOUT, text);
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === GRPC_TIMEOUT) headers[at + 1] = text;
}

/** Marks a repetition, so that the hops behind do not repeat it once more. */
export function writeAttempt(headers: HeaderList, attempt: number): void {
  if (attempt > 1) headers.push(ATTEMPT_COUNT, String(attempt));
}

function milliseconds(text: string | undefined): number | undefined {
  return text !== undefined && MILLISECONDS.test(text) ? Number(text) : undefined;
}
