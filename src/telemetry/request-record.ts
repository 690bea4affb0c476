/**
 * What is known of one request when it is over. The data plane fills one of these as the request goes by; metrics and
 * access log only read it, and keep nothing of it. Not pooled: making one costs less than wiping one clean.
 */

import type { DecisionOrigin, RuleOrigin } from "../projections/snapshot.ts";
import { type FlagSet, NO_FLAGS } from "./response-flags.ts";

/** A rule that decides nothing, and what it said; `origin` undefined: the default. */
export interface PolicyAudit {
  readonly outcome: string;
  readonly origin: RuleOrigin | undefined;
}

const NO_AUDIT: readonly PolicyAudit[] = [];

/** Texts are latin1 as they came; `undefined` is absent, and shows as `null` in the log. */
export class RequestRecord {
  /** Wall clock at the first byte of the head, in milliseconds since 1970. */
  startMs = 0;
  /** Monotonic clock at the same moment, in nanoseconds. */
  startNs = 0;
  /** Monotonic clock when the last byte went out or the request was given up. */
  endNs = 0;
  /** From the last byte to the upstream until its head came, in nanoseconds; undefined when none came. */
  upstreamServiceNs: number | undefined = undefined;

  method = "";
  /** Path and query as received. */
  path = "";
  /** `HTTP/1.1`, `HTTP/2`. */
  protocol = "";
  authority = "";
  userAgent: string | undefined = undefined;
  forwardedFor: string | undefined = undefined;
  requestId: string | undefined = undefined;
  traceparent: string | undefined = undefined;

  /** 0 when there was no response at all. */
  status = 0;
  flags: FlagSet = NO_FLAGS;
  /** Envoy's `response_code_details`; `via_upstream` for a response that is not the proxy's own. */
  details: string | undefined = undefined;
  isGrpc = false;
  /** `grpc-status` of the response, 0 to 16; undefined when there was none or it was no such number. */
  grpcStatus: number | undefined = undefined;
  /** Body bytes from the downstream. */
  bytesReceived = 0;
  /** Body bytes to the downstream. */
  bytesSent = 0;

  /** `address:port` of the endpoint that was tried last. */
  upstreamHost: string | undefined = undefined;
  upstreamCluster: string | undefined = undefined;
  /** The port of the called Service; 0 where it is not known. */
  destinationPort = 0;
  routeName: string | undefined = undefined;
  /** `address:port`. */
  downstreamAddress: string | undefined = undefined;
  /** SNI of the downstream's TLS. */
  requestedServerName: string | undefined = undefined;
  /** SPIFFE IDs, of verified certificates only. */
  sourcePrincipal: string | undefined = undefined;
  destinationPrincipal: string | undefined = undefined;

  /** Revision of the snapshot that was in force for this request from its beginning to its end. */
  policyRevision = 0;
  /** The rule that decided: that denied or allowed it, or that routed it. */
  policyOrigin: DecisionOrigin | undefined = undefined;
  /** What rules that decide nothing (audit, dry run) said. */
  policyAudit: readonly PolicyAudit[] = NO_AUDIT;

  /** In milliseconds. */
  get durationMs(): number {
    return (this.endNs - this.startNs) / 1e6;
  }
}
