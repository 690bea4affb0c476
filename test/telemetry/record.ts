/** Records for the tests of metrics and access log. */

import { RequestRecord } from "../../src/telemetry/request-record.ts";

export function record(rest: Partial<RequestRecord> = {}): RequestRecord {
  const made = new RequestRecord();
  const { durationMs: _, ...fields } = rest;
  return Object.assign(made, {
    startMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    startNs: 1_000_000_000,
    endNs: 1_012_400_000,
    method: "GET",
    path: "/products?page=2",
    protocol: "HTTP/1.1",
    authority: "catalog",
    status: 200,
    ...fields,
  });
}
