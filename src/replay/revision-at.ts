/** From a time to the revision that was in force then. */

import type { RecordedChange } from "../events/change.ts";
import type { EventLog } from "../events/log.ts";

/**
 * The last revision recorded at or before a time; 0 where the ledger begins later. Reads about log2(n) changes. Replicas
 * stamp changes with their own clocks, so two changes of one moment may stand either way round: then either may be found.
 * @param timeMs milliseconds since the epoch
 */
export async function revisionAt(log: Pick<EventLog, "read" | "lastRevision">, timeMs: number): Promise<number> {
  let low = 0;
  let high = await log.lastRevision();
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const recorded = await changeAt(log, middle);
    if (recorded !== undefined && Date.parse(recorded.change.time) <= timeMs) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The change of one revision; undefined where there is none. */
export async function changeAt(log: Pick<EventLog, "read">, revision: number): Promise<RecordedChange | undefined> {
  if (revision < 1) return undefined;
  for await (const recorded of log.read({ from: revision, to: revision })) return recorded;
  return undefined;
}
