/** What is seen of a request, written into its record. */

import { RequestRecord } from "../telemetry/request-record.ts";
import { flagSet } from "../telemetry/response-flags.ts";
import type { HeaderList, RequestHead, ResponseHead, StreamFault } from "./codec/message.ts";
import { asksForTcp, headerValue } from "./headers.ts";
import type { Address } from "./io/address.ts";
import type { Downstream } from "./io/downstream.ts";
import type { Runtime } from "./runtime.ts";
import type { Side } from "./side.ts";

/** All that the head says. */
export function recordRequest(
  runtime: Runtime,
  record: RequestRecord,
  head: RequestHead,
  { facts, serverName }: Downstream,
): void {
  record.startMs = runtime.wallMs();
  record.startNs = runtime.monotonicNs();
  record.method = head.method;
  record.path = head.path;
  record.protocol = asksForTcp(head) ? "TCP" : `HTTP/${head.version}`;
  record.authority = head.authority;
  record.downstreamAddress = facts.remoteAddress;
  record.requestedServerName = serverName;
  const { headers } = head;
  for (let at = 0; at < headers.length; at += 2) {
    switch (headers[at]) {
      case "user-agent":
        record.userAgent = headers[at + 1];
        break;
      case "x-forwarded-for":
        record.forwardedFor = headers[at + 1];
        break;
      case "x-request-id":
        record.requestId = headers[at + 1];
        break;
      case "traceparent":
        record.traceparent = headers[at + 1];
        break;
    }
  }
}

/** Nothing where `headers` have no status that gRPC knows. */
export function recordGrpcStatus(record: RequestRecord, headers: HeaderList): void {
  const text = headerValue(headers, "grpc-status");
  if (text !== undefined && /^\d{1,2}$/.test(text)) record.grpcStatus = Number(text);
}

/** The upstream's response has begun. `requestEndNs`: when the request was over; 0: it is not yet. */
export function recordResponse(
  runtime: Runtime,
  record: RequestRecord,
  { status }: ResponseHead,
  requestEndNs: number,
): void {
  record.status = status;
  record.details = "via_upstream";
  record.upstreamServiceNs = runtime.monotonicNs() - (requestEndNs || record.startNs);
}

/** The downstream broke the protocol, or is gone. `responding`: a response has begun, so that its status stands. */
export function recordFault(record: RequestRecord, fault: StreamFault, responding: boolean): void {
  const broken = fault.kind === "protocol-error";
  record.flags |= broken ? flagSet("DPE") : flagSet("DC");
  record.details = broken ? fault.detail : "downstream_remote_disconnect";
  if (broken && fault.status !== undefined && !responding) record.status = fault.status;
}

/** `endpoint`: who was asked; undefined: nobody. */
export function recordEnd(runtime: Runtime, record: RequestRecord, endpoint: Address | undefined): void {
  if (endpoint !== undefined) record.upstreamHost = `${endpoint.host}:${endpoint.port}`;
  record.endNs = runtime.monotonicNs();
}

/** Records a request that could not be read. */
export function recordUnreadable(runtime: Runtime, side: Side, downstream: Downstream, fault: StreamFault): void {
  const record = new RequestRecord();
  record.startMs = runtime.wallMs();
  record.startNs = runtime.monotonicNs();
  record.endNs = record.startNs;
  record.status = fault.status ?? 0;
  record.flags = flagSet("DPE");
  record.details = fault.detail;
  record.downstreamAddress = downstream.facts.remoteAddress;
  side.unreadable(record, downstream);
}
