/** The traffic ledger as a command reads it. */

import { InvalidArgumentError } from "commander";
import { PermissionDenied, RequestTimeout } from "../../nats/bus.ts";
import { readTraffic } from "../../nats/traffic-stream.ts";
import { TrafficTable } from "../../replay/traffic-table.ts";
import { decodeTrafficSummary, type TrafficSummary } from "../../telemetry/traffic-summary.ts";
import { Failure } from "../failure.ts";
import { parseMoment } from "../input/moment.ts";
import { note, painter } from "../output/output.ts";
import type { OperatorContext } from "./context.ts";

/** A summary, and who reported it. */
export interface Report {
  readonly subject: string;
  readonly summary: TrafficSummary;
}

/** Milliseconds since 1970. */
export interface TimeSpan {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Reads a time ago or a time, for commander: `24h`, `2026-03-01`. */
export function parseSince(text: string): number {
  const moment = parseMoment(text, Date.now());
  if (moment.ok && moment.value.kind === "time") return moment.value.timeMs;
  throw new InvalidArgumentError("It must be a time ago (90m, 2d) or a time (2026-03-01T12:00:00Z).");
}

/** Reports on any part of the span, oldest first. What cannot be read is said once, and left out. */
export async function* reports({ bus }: Pick<OperatorContext, "bus">, span: TimeSpan): AsyncGenerator<Report> {
  let unreadable = 0;
  // Of a report that cannot be read nothing is known, its time neither: it counts as early, and the search goes on.
  const isEarly = ({ data }: { readonly data: Uint8Array }): boolean =>
    (decodeTrafficSummary(data)?.toMs ?? 0) < span.fromMs;
  try {
    for await (const { subject, data } of readTraffic(bus, isEarly)) {
      const summary = decodeTrafficSummary(data);
      if (summary === undefined) unreadable++;
      else if (summary.toMs >= span.fromMs && summary.fromMs <= span.toMs) yield { subject, summary };
    }
  } catch (error) {
    throw unreachable(error);
  }
  if (unreadable > 0) note(`${painter(process.stderr)("yellow", "warning:")} ${unreadable} reports cannot be read`);
}

/** All calls of a span, added up; says where the ledger is known not to have all of them. */
export async function trafficSince(context: Pick<OperatorContext, "bus">, span: TimeSpan): Promise<TrafficTable> {
  const table = new TrafficTable();
  for await (const { subject, summary } of reports(context, span)) table.add(subject, summary);
  if (table.dropped > 0) {
    note(`${painter(process.stderr)("yellow", "warning:")} sidecars could not report ${table.dropped} more calls`);
  }
  return table;
}

function unreachable(error: unknown): unknown {
  if (error instanceof PermissionDenied || error instanceof RequestTimeout) {
    const why = "the mesh keeps no traffic ledger, or these credentials are older than it and may not read it";
    return new Failure(why, { cause: error });
  }
  return error;
}
