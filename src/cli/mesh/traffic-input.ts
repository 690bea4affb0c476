/** The traffic ledger as a command reads it. */

import { InvalidArgumentError } from "commander";
import { type RollupSource, readRollup, wholeStretches } from "../../control/traffic-rollups.ts";
import { PermissionDenied, RequestTimeout } from "../../nats/bus.ts";
import type { NatsBus } from "../../nats/nats-bus.ts";
import { readTraffic, recentTraffic, type TrafficRange } from "../../nats/traffic-stream.ts";
import { addRollup, isWithin, ROLLUP_REPORTS, type TrafficRollup } from "../../replay/traffic-rollup.ts";
import { TrafficTable } from "../../replay/traffic-table.ts";
import { decodeTrafficSummary, type TrafficSummary } from "../../telemetry/traffic-summary.ts";
import { Failure } from "../failure.ts";
import { parseMoment } from "../input/moment.ts";
import { note, painter } from "../output/output.ts";
import { checkpointReader } from "./checkpoints.ts";
import type { OperatorContext } from "./context.ts";

type Reader = Pick<OperatorContext, "bus">;

/** Roll-ups fetched at once: a day of 100 services has some 70. */
const ROLLUPS_AT_ONCE = 64;

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
export async function* reports({ bus }: Reader, span: TimeSpan): AsyncGenerator<Report> {
  let unreadable = 0;
  try {
    const range = await recentTraffic(bus, isBefore(span));
    for await (const report of reportsOf(bus, range, span)) {
      if (report === undefined) unreadable++;
      else yield report;
    }
  } catch (error) {
    throw unreachable(error);
  }
  warnOfUnreadable(unreadable);
}

/**
 * All calls of a span, added up: by roll-ups as far as there are any that lie within the span, the rest by reports. Says
 * where the ledger is known not to have all of them.
 */
export async function trafficSince(
  { bus, rollupReports = ROLLUP_REPORTS }: Reader & { readonly rollupReports?: number },
  span: TimeSpan,
): Promise<TrafficTable> {
  const table = new TrafficTable();
  let unreadable = 0;
  try {
    for await (const piece of pieces(bus, span, rollupReports)) {
      if (piece.rollup !== undefined) {
        addRollup(table, piece.rollup);
        unreadable += piece.rollup.unreadable;
        continue;
      }
      for await (const report of reportsOf(bus, piece.range, span)) {
        if (report === undefined) unreadable++;
        else table.add(report.subject, report.summary);
      }
    }
  } catch (error) {
    throw unreachable(error);
  }
  warnOfUnreadable(unreadable);
  if (table.dropped > 0) warn(`sidecars could not report ${table.dropped} more calls`);
  return table;
}

/** A stretch of the traffic ledger, and what it comes to where that is known. */
interface Piece {
  readonly range: TrafficRange;
  readonly rollup?: TrafficRollup;
}

/** The traffic ledger from the beginning of a span on, in order. */
async function* pieces(bus: NatsBus, span: TimeSpan, size: number): AsyncGenerator<Piece> {
  const range = await recentTraffic(bus, isBefore(span));
  if (range === undefined) return;
  const source = { bus, bucket: checkpointReader({ bus }), warn, size };
  let { from } = range;
  const { first, end } = wholeStretches(range, size);
  for (let start = first; start < end; start += ROLLUPS_AT_ONCE) {
    const indexes = Array.from({ length: Math.min(ROLLUPS_AT_ONCE, end - start) }, (_, at) => start + at);
    const rollups = await Promise.all(indexes.map((index) => rollupWithin(source, index, span)));
    for (const [at, rollup] of rollups.entries()) {
      if (rollup === undefined) continue;
      const next = (start + at + 1) * size + 1;
      if (rollup.from > from) yield { range: { from, to: rollup.from - 1 } };
      yield { range: { from: rollup.from, to: next - 1 }, rollup };
      from = next;
    }
  }
  if (from <= range.to) yield { range: { from, to: range.to } };
}

async function rollupWithin(source: RollupSource, index: number, span: TimeSpan): Promise<TrafficRollup | undefined> {
  // Without the right to read it the long way is the way.
  const rollup = await readRollup(source, index).catch(() => undefined);
  return rollup !== undefined && isWithin(rollup, span) ? rollup : undefined;
}

/** Undefined for what cannot be read. */
async function* reportsOf(
  bus: NatsBus,
  range: TrafficRange | undefined,
  span: TimeSpan,
): AsyncGenerator<Report | undefined> {
  if (range === undefined) return;
  for await (const { subject, data } of readTraffic(bus, range)) {
    const summary = decodeTrafficSummary(data);
    if (summary === undefined) yield undefined;
    else if (summary.toMs >= span.fromMs && summary.fromMs <= span.toMs) yield { subject, summary };
  }
}

/** Of a report that cannot be read nothing is known, its time neither: it counts as early, and the search goes on. */
function isBefore({ fromMs }: TimeSpan): (message: { readonly data: Uint8Array }) => boolean {
  return ({ data }) => (decodeTrafficSummary(data)?.toMs ?? 0) < fromMs;
}

function warnOfUnreadable(count: number): void {
  if (count > 0) warn(`${count} reports cannot be read`);
}

function warn(message: string): void {
  note(`${painter(process.stderr)("yellow", "warning:")} ${message}`);
}

function unreachable(error: unknown): unknown {
  if (error instanceof PermissionDenied) {
    const why = "these credentials may not read the traffic ledger: those that are older than it have to be made anew";
    return new Failure(why, { cause: error });
  }
  // Where there is no such stream nobody answers either: another account cannot be told so.
  if (error instanceof RequestTimeout) {
    const why = "the traffic ledger did not answer in time: NATS is too busy, or this mesh keeps none; ask again";
    return new Failure(why, { cause: error });
  }
  return error;
}
