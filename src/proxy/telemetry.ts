/** Where finished requests are counted and written: shared by both sides of a sidecar. */

import type { AccessLog } from "../telemetry/access-log.ts";
import type { RequestEdge, RequestMetrics } from "../telemetry/request-metrics.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import type { SidecarMetrics } from "../telemetry/sidecar-metrics.ts";

export interface Telemetry {
  readonly requests: RequestMetrics;
  readonly sidecar: SidecarMetrics;
  readonly accessLog: AccessLog | undefined;
}

export function countRequest(telemetry: Telemetry, record: RequestRecord, edge: RequestEdge | undefined): void {
  edge?.count(record);
  telemetry.accessLog?.log(record);
}
