/** When an attempt is repeated, and how long to wait before. Pure. */

import type { SnapshotRetries } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";
import { headerValue } from "../headers.ts";
import { parseHttpDate } from "../http-date.ts";

/** How an attempt ended, before any of its response went on to the caller. */
export type AttemptOutcome =
  /** `grpcStatus`: where the response is nothing but one (gRPC's "Trailers-Only"). */
  | { readonly kind: "status"; readonly status: number; readonly grpcStatus?: number | undefined }
  /** No connection, or one that never carried the request. */
  | { readonly kind: "connect-failure" }
  /** The peer says that it did nothing (RFC 9113 §8.7). */
  | { readonly kind: "refused" }
  /** The connection or stream ended before a response, or the attempt's own time ran out. */
  | { readonly kind: "reset" | "timeout" };

/** First wait between attempts, doubled with each; as in Envoy. */
const BACKOFF = { baseMs: 25, maxMs: 250 } as const;

/** Longest that a server's `Retry-After` is waited for; one that asks for more is not asked again. */
const RETRY_AFTER_MAX_MS = 5_000;

/** Envoy's reading of the conditions: `5xx` and `gateway-error` include every way of getting no response at all. */
export function isRetriable(
  outcome: AttemptOutcome,
  { on, statusCodes }: Pick<SnapshotRetries, "on" | "statusCodes">,
): boolean {
  for (const condition of on) if (matches(outcome, condition, statusCodes)) return true;
  return false;
}

/** The service certainly did nothing, so that trying again adds nothing to its work. */
export function isUnprocessed({ kind }: AttemptOutcome): boolean {
  return kind === "connect-failure" || kind === "refused";
}

function matches(
  outcome: AttemptOutcome,
  condition: SnapshotRetries["on"][number],
  statusCodes: SnapshotRetries["statusCodes"],
): boolean {
  const status = outcome.kind === "status" ? outcome.status : 0;
  switch (condition) {
    case "5xx":
      return outcome.kind !== "status" || status >= 500;
    case "gateway-error":
      return outcome.kind !== "status" || (status >= 502 && status <= 504);
    case "connect-failure":
      return outcome.kind === "connect-failure";
    case "reset":
      return outcome.kind === "reset" || outcome.kind === "timeout";
    case "refused-stream":
      return outcome.kind === "refused";
    case "retriable-4xx":
      return status === 409;
    case "retriable-status-codes":
      return statusCodes?.includes(status) === true;
    default:
      return outcome.kind === "status" && outcome.grpcStatus === GRPC_STATUS[condition];
  }
}

/** gRPC's "Status codes and their use". */
const GRPC_STATUS = {
  cancelled: 1,
  "deadline-exceeded": 4,
  "resource-exhausted": 8,
  internal: 13,
  unavailable: 14,
} as const;

/** Wait before retry number `retry` (1 for the first): exponential with full jitter. Milliseconds. */
export function backoffMs(retry: number, random: () => number, { baseMs, maxMs } = retryBackoff(undefined)): number {
  return random() * Math.min(maxMs, baseMs * 2 ** (retry - 1));
}

/** What a rule says of the wait, or the sidecar's own. */
export function retryBackoff(retries: SnapshotRetries | undefined): NonNullable<SnapshotRetries["backoff"]> {
  return retries?.backoff ?? BACKOFF;
}

/**
 * How long the server asks to be left alone (RFC 9110 §10.2.3), in milliseconds: 0 where it does not ask, undefined
 * where that is longer than a caller should wait, or will: `leftMs`.
 */
export function retryAfterMs(headers: HeaderList, wallMs: () => number, leftMs = Infinity): number | undefined {
  const text = headerValue(headers, "retry-after");
  if (text === undefined) return 0;
  const dateMs = /^\d{1,9}$/.test(text) ? undefined : parseHttpDate(text, wallMs());
  const waitMs = dateMs === undefined ? Number(text) * 1000 : dateMs - wallMs();
  // What is neither a number nor a date asks for nothing.
  if (Number.isNaN(waitMs)) return 0;
  return waitMs > Math.min(RETRY_AFTER_MAX_MS, leftMs) ? undefined : Math.max(0, waitMs);
}

/** The status of a response that is nothing else (gRPC over HTTP/2, "Trailers-Only"); 0 where there is none. */
export function grpcStatusOf(headers: HeaderList): number {
  const text = headerValue(headers, "grpc-status");
  return text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : 0;
}
