/** The ledger from its end backwards, so that what happened last is told at once however long the history is. */

import type { RecordedChange } from "../../events/change.ts";
import type { EventLog, ReadRange } from "../../events/log.ts";

/** Changes of the first page: what most questions are answered from. */
const FIRST_PAGE = 64;
/** Pages double up to this, so that a question about the beginning is not asked in thousands of pieces. */
const PAGE_MAX = 2_048;

/** Changes of a range, newest first. Reads a page at a time, and no further than the consumer goes. */
export async function* recentChanges(
  log: Pick<EventLog, "read" | "lastRevision">,
  { from = 1, to, namespace }: ReadRange = {},
): AsyncGenerator<RecordedChange> {
  const end = await log.lastRevision();
  let last = Math.min(to ?? end, end);
  for (let size = FIRST_PAGE; last >= from; size = Math.min(size * 2, PAGE_MAX)) {
    const first = Math.max(from, last - size + 1);
    const range = { from: first, to: last, ...(namespace === undefined ? {} : { namespace }) };
    yield* (await Array.fromAsync(log.read(range))).reverse();
    last = first - 1;
  }
}
