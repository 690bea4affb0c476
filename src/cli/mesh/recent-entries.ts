/** What `heddle log` shows: changes that pass a filter, from the end of the ledger backwards, as they are found. */

import { type HistoryEntry, type HistoryFilter, historyEntry } from "../../replay/history.ts";
import type { ProgressLine } from "../output/progress.ts";
import { CLOCK_SKEW_MS, type LedgerReader, rangesToRead } from "./indexed-ledger.ts";
import { recentChanges } from "./recent-changes.ts";

/** Which changes are looked at, and which of them pass. */
export interface LogQuery {
  /** First and last revision. */
  readonly from: number;
  readonly to: number | undefined;
  readonly filter: HistoryFilter;
}

/** The last entries that pass, newest first. Reads no further than the consumer goes. */
export async function* recentEntries(
  reader: LedgerReader,
  query: LogQuery,
  progress: ProgressLine,
): AsyncGenerator<HistoryEntry> {
  const { from, filter } = query;
  const { namespace, sinceMs = Number.NEGATIVE_INFINITY } = filter;
  const to = Math.min(query.to ?? Number.POSITIVE_INFINITY, await reader.ledger.lastRevision());
  try {
    for await (const range of rangesToRead(reader, { from, to }, filter, progress)) {
      const inNamespace = { ...range, ...(namespace === undefined ? {} : { namespace }) };
      for await (const recorded of recentChanges(reader.ledger, inNamespace)) {
        if (Date.parse(recorded.change.time) < sinceMs - CLOCK_SKEW_MS) return;
        progress.at(() => `looked back to revision ${recorded.revision}`);
        const entry = historyEntry(recorded, filter);
        if (entry !== undefined) yield entry;
      }
    }
  } finally {
    progress.clear();
  }
}
