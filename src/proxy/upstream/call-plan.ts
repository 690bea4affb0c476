/** What an upstream call is told, and what it tells. */

import type { SnapshotRetries } from "../../projections/snapshot.ts";
import type { FlagSet } from "../../telemetry/response-flags.ts";
import type { HeaderList, RequestHead, ResponseHead } from "../codec/message.ts";
import type { FaultName } from "../respond.ts";
import type { EndpointState } from "./member.ts";
import type { RetryBudget } from "./retry-budget.ts";

/** Why there will be no response, or no more of it. */
export interface CallFailure {
  readonly fault: FaultName;
  /** For `response_code_details`. */
  readonly details: string;
  readonly flags: FlagSet;
}

/** How fast the bodies of a call may go, on purpose. */
export interface Bandwidth {
  readonly bytesPerSecond: number;
  /** Absent: both, each by itself. */
  readonly direction?: "request" | "response" | undefined;
}

/** A call as whoever makes it sees it. */
export interface Call {
  /** The endpoint of the attempt at hand, or of the last one. */
  readonly endpoint: EndpointState | undefined;
  /** What there is to say of the response at hand. */
  readonly flags: FlagSet;
  sendHead(head: RequestHead, end: boolean): void;
  /** False: hold the rest back until `upstreamDrained`. */
  sendData(chunk: Uint8Array, end: boolean): boolean;
  sendTrailers(trailers: HeaderList): void;
  pauseResponse(): void;
  resumeResponse(): void;
  /** Nobody wants the response any more. Idempotent; no callback follows. */
  cancel(): void;
}

/** Who made the call. Between `upstreamHead` and the end of the response, `upstreamFailed` may still come. */
export interface CallOwner {
  upstreamInformational(head: ResponseHead): void;
  upstreamHead(head: ResponseHead, end: boolean): void;
  upstreamData(chunk: Uint8Array, end: boolean): void;
  upstreamTrailers(trailers: HeaderList): void;
  /** The request's body may flow again after `sendData` returned false. */
  upstreamDrained(): void;
  upstreamFailed(failure: CallFailure): void;
  /** An attempt failed and another is under way. */
  upstreamRetried(): void;
}

/** All that one call needs to know of policy, and of where to go. */
export interface CallPlan {
  /** Where the next attempt goes; `tried` are those that failed. Undefined: nowhere. */
  pick(tried: readonly EndpointState[]): EndpointState | undefined;
  readonly retries: SnapshotRetries | undefined;
  /** Shared by all calls to the service. */
  readonly budget: RetryBudget | undefined;
  /** The request repeats another one already: it is tried again only where nothing was done. Absent: it does not. */
  readonly isRetry?: boolean;
  /** Circuit breaking: false while as many calls are retried as policy allows; asked before the first. Absent: they may. */
  readonly takesRetry?: (() => boolean) | undefined;
  /**
   * The call is a copy: what becomes of it says nothing about the health of its endpoint, and no bound of policy counts
   * it, so that it never takes a request's place. Absent: it is none.
   */
  readonly isCopy?: boolean;
  /** How long somebody waits for the response still. Absent: for ever. */
  readonly leftMs?: () => number;
  /** How long the call is held up on purpose before its first attempt. */
  readonly delayMs?: number | undefined;
  /** Absent: as fast as it can be. */
  readonly bandwidth?: Bandwidth | undefined;
  /** The head to send, made anew for each attempt (1 for the first). */
  head(head: RequestHead, attempt: number): RequestHead;
}
