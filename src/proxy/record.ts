/** What is seen of a request, written into its record. */

import { RequestRecord } from "../telemetry/request-record.ts";
import { flagSet } from "../telemetry/response-flags.ts";
import type { HeaderList, RequestHead, StreamFault } from "./codec/message.ts";
import { asksForTcp, headerValue } from "./headers.ts";
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
