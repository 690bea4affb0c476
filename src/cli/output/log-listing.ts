/** A table of changes that are still being looked for. */

import type { HistoryEntry } from "../../replay/history.ts";
import { type LogStyle, logTable } from "./log-output.ts";

export interface ListingOptions {
  readonly style: Omit<LogStyle, "nowMs" | "heads" | "lanes">;
  readonly show: (text: string) => void;
  /** What was found is printed after this at the latest. */
  readonly everyMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** How many were shown, and the last of them. */
export interface ShownEntries {
  readonly count: number;
  readonly last: HistoryEntry | undefined;
}

/** One table where all is soon found; else what was found so far, and the rest under it as it is found. */
export async function showAsFound(
  found: AsyncIterable<HistoryEntry>,
  { style, show, everyMs, now }: ListingOptions,
): Promise<ShownEntries> {
  let count = 0;
  let last: HistoryEntry | undefined;
  let pending: HistoryEntry[] = [];
  const showPending = (): void => {
    if (pending.length === 0) return;
    show(logTable(pending, { ...style, nowMs: now(), heads: count === 0 }));
    count += pending.length;
    pending = [];
  };
  const timer = setInterval(showPending, everyMs);
  try {
    for await (const entry of found) {
      pending.push(entry);
      last = entry;
    }
  } finally {
    clearInterval(timer);
    showPending();
  }
  return { count, last };
}
