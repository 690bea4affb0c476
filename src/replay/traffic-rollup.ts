/**
 * A stretch of the traffic ledger, added up once and for all: what a day of it says is then a few dozen of these rather
 * than hundreds of thousands of reports. Reading roll-ups and the reports around them comes to exactly what reading
 * every report would.
 */

import { z } from "zod";
import type { StateCodec } from "../projections/state-codec.ts";
import { type DecidedCall, isDecidedCall, type TrafficSummary, trafficSummary } from "../telemetry/traffic-summary.ts";
import { type Reporter, reporterKey, TrafficTable } from "./traffic-table.ts";

/** Name and version of roll-ups, as of projections: what is made otherwise gets another version. */
export const TRAFFIC_ROLLUP = { name: "traffic", version: 1 } as const;

/** Reports in a roll-up. With 200 instances twenty minutes, read one by one in a tenth of a second. */
export const ROLLUP_REPORTS = 4_096;

export interface TrafficRollup {
  /** Sequence of the first report. */
  readonly from: number;
  /** Milliseconds since 1970: the earliest end and the latest start of any report's interval. */
  readonly earliestToMs: number;
  readonly latestFromMs: number;
  /** Messages of the stretch that are no reports. */
  readonly unreadable: number;
  /** Of each instance that reported: how far it is known, so that what it sends twice is counted once. */
  readonly reporters: readonly Reporter[];
  /** The latest known report of each instance that reported lately, in this stretch or before it. */
  readonly known: readonly KnownReport[];
  /** Reports that came before this stretch as well, being stored twice: for whoever did not read so far back. */
  readonly repeated: readonly RepeatedReport[];
  readonly calls: readonly DecidedCall[];
}

/** An instance since one start of it, the number of a report, and the end of its interval. */
export type KnownReport = readonly [reporter: string, sequence: number, toMs: number];

/** A sidecar forgets after half an hour what it could not report: nothing is stored again so long after. */
const KNOWN_MS = 2 * 3_600_000;

export interface RepeatedReport {
  readonly subject: string;
  readonly summary: TrafficSummary;
}

/** Adds what was reported in a stretch, as adding each report would. */
export function addRollup(table: TrafficTable, rollup: TrafficRollup): void {
  for (const { subject, summary } of rollup.repeated) table.add(subject, summary);
  table.addRolled(rollup);
}

/** Whether every report of the roll-up is on some part of a span (milliseconds since 1970). */
export function isWithin(
  { earliestToMs, latestFromMs }: Pick<TrafficRollup, "earliestToMs" | "latestFromMs">,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): boolean {
  return earliestToMs >= fromMs && latestFromMs <= toMs;
}

/** Adds up the reports of one stretch, in the order of the stream. */
export class RollupBuilder {
  readonly #table = new TrafficTable();
  readonly #from: number;
  readonly #before: ReadonlyMap<string, KnownReport>;
  readonly #known: Map<string, KnownReport>;
  readonly #repeated: RepeatedReport[] = [];
  #earliestToMs = Number.MAX_SAFE_INTEGER;
  #latestFromMs = 0;
  #latestToMs = 0;
  #unreadable = 0;

  /** @param before what was known at the end of the stretch before */
  constructor(from: number, before: readonly KnownReport[]) {
    this.#from = from;
    this.#before = new Map(before.map((known) => [known[0], known]));
    this.#known = new Map(this.#before);
  }

  /** @param summary undefined: the message was no report */
  add(subject: string, summary: TrafficSummary | undefined): void {
    if (summary === undefined) {
      this.#unreadable++;
      return;
    }
    this.#earliestToMs = Math.min(this.#earliestToMs, summary.toMs);
    this.#latestFromMs = Math.max(this.#latestFromMs, summary.fromMs);
    const { epoch, sequence, toMs } = summary;
    const reporter = reporterKey(subject, epoch);
    if (this.#table.has(reporter, sequence)) return;
    if (sequence <= (this.#before.get(reporter)?.[1] ?? 0)) {
      this.#repeated.push({ subject, summary });
      return;
    }
    this.#table.add(subject, summary);
    this.#known.set(reporter, [reporter, sequence, toMs]);
    this.#latestToMs = Math.max(this.#latestToMs, toMs);
  }

  /** What the next stretch has to know. */
  known(): KnownReport[] {
    return [...this.#known.values()].filter(([, , toMs]) => toMs > this.#latestToMs - KNOWN_MS);
  }

  rollup(): TrafficRollup {
    return {
      from: this.#from,
      earliestToMs: this.#earliestToMs,
      latestFromMs: this.#latestFromMs,
      unreadable: this.#unreadable,
      reporters: this.#table.reporters(),
      known: this.known(),
      repeated: this.#repeated,
      calls: this.#table.rolled(),
    };
  }
}

const count = z.int().min(0);

const rollup = z.strictObject({
  from: z.int().min(1),
  earliestToMs: count,
  latestFromMs: count,
  unreadable: count,
  reporters: z.array(z.tuple([z.string(), count, count])),
  known: z.array(z.tuple([z.string(), count, count])),
  repeated: z.array(z.strictObject({ subject: z.string(), summary: trafficSummary })),
  calls: z.custom<DecidedCall[]>((value) => Array.isArray(value) && value.every(isDecidedCall), {
    error: "are no calls",
  }),
});

export const rollupCodec: StateCodec<TrafficRollup> = {
  toJson: (value) => value,
  fromJson: (data) => rollup.parse(data),
};
