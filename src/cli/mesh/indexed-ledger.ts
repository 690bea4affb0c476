/**
 * Reads the ledger by its indexes: which stretches can hold what is asked for, and which changes were to a document. A
 * stretch that the control plane has not indexed yet may hold anything, and is read.
 */

import type { RecordedChange } from "../../events/change.ts";
import type { DocumentKey } from "../../policy/names.ts";
import { checkpointAt, HISTORY_EVERY } from "../../projections/history-checkpoints.ts";
import { type ChangeIndex, changeIndex, changeIndexCodec, mayHold, revisionsOf } from "../../replay/change-index.ts";
import type { HistoryFilter } from "../../replay/history.ts";
import { note } from "../output/output.ts";
import type { ProgressLine } from "../output/progress.ts";
import { checkpointReader } from "./checkpoints.ts";
import type { OperatorContext } from "./context.ts";

export interface LedgerReader extends Pick<OperatorContext, "bus" | "ledger"> {
  /** Revisions that an index is of. */
  readonly every?: number;
}

/** Revisions, inclusive. */
export interface RevisionRange {
  readonly from: number;
  readonly to: number;
}

/** Replicas stamp changes with their own clocks, so a change may seem older than the one before it. */
export const CLOCK_SKEW_MS = 60_000;

/** Indexes fetched at once: the first question is mostly answered by the first of them. */
const FETCHED_FIRST = 4;
const FETCHED_MAX = 64;
/** Changes fetched one by one at once. */
const CHANGES_AT_ONCE = 256;

/** What of a range, newest first, can hold changes that pass the filter; indexes are asked where that can help. */
export async function* rangesToRead(
  reader: LedgerReader,
  { from, to }: RevisionRange,
  filter: HistoryFilter,
  progress: ProgressLine,
): AsyncGenerator<RevisionRange> {
  const { text: _, ...indexed } = filter;
  if (Object.keys(indexed).length === 0) {
    yield { from, to };
    return;
  }
  const every = reader.every ?? HISTORY_EVERY;
  // Stretches end at multiples of `every`; the one that is not complete has no index.
  const complete = to - (to % every);
  if (to > complete) yield { from: Math.max(from, complete + 1), to };
  let width = FETCHED_FIRST;
  for (let end = complete; end >= from; end -= width * every, width = Math.min(2 * width, FETCHED_MAX)) {
    const ends = stretchEnds(end, width, every).filter((at) => at >= from);
    const indexes = await Promise.all(ends.map((at) => indexAt(reader, at)));
    for (const [at, index] of indexes.entries()) {
      const last = ends[at] ?? end;
      progress.at(() => `looked back to revision ${last}`);
      if (index !== undefined && index.latestMs < (indexed.sinceMs ?? 0) - CLOCK_SKEW_MS) return;
      if (index !== undefined && !mayHold(index, indexed)) continue;
      yield { from: Math.max(from, last - every + 1), to: last };
    }
  }
}

function stretchEnds(end: number, width: number, every: number): number[] {
  return Array.from({ length: width }, (_, at) => end - at * every);
}

async function indexAt({ bus, ledger, every = HISTORY_EVERY }: LedgerReader, revision: number) {
  const bucket = checkpointReader({ bus });
  const projection = changeIndex(every);
  const source = { log: ledger, bucket, projection, codec: changeIndexCodec, warn: note, every };
  // Without the right to read it the long way is the way.
  const found = await checkpointAt<ChangeIndex>(source, revision).catch(() => undefined);
  return found?.state;
}

/** The changes to documents of a namespace up to a revision, in order; others may be among them. */
export async function* documentHistory(
  reader: LedgerReader,
  { to, namespace }: { readonly to: number; readonly namespace: string },
  keys: readonly DocumentKey[],
): AsyncGenerator<RecordedChange> {
  const { ledger, every = HISTORY_EVERY } = reader;
  let start = 1;
  while (start <= to) {
    const ends = stretchEnds(start - 1 + FETCHED_MAX * every, FETCHED_MAX, every).reverse();
    const indexes = await Promise.all(ends.map((at) => (at > to ? undefined : indexAt(reader, at))));
    for (const [at, index] of indexes.entries()) {
      const end = Math.min(ends[at] ?? to, to);
      if (index !== undefined) yield* changesAt(reader, revisionsOf(index, keys));
      else if (start <= end) yield* ledger.read({ from: start, to: end, namespace });
      start = end + 1;
    }
  }
}

async function* changesAt({ ledger }: LedgerReader, revisions: readonly number[]): AsyncGenerator<RecordedChange> {
  const one = (revision: number) => Array.fromAsync(ledger.read({ from: revision, to: revision }));
  for (let start = 0; start < revisions.length; start += CHANGES_AT_ONCE) {
    yield* (await Promise.all(revisions.slice(start, start + CHANGES_AT_ONCE).map(one))).flat();
  }
}
