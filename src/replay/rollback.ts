/** What a rollback would undo, and whose it is. */

import type { RecordedChange } from "../events/change.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import { documentOfEvent } from "../events/event-document.ts";

/** A later change and the documents and faults (`fault <id>`) of it that the rollback takes back. */
export interface UndoneChange {
  readonly recorded: RecordedChange;
  readonly keys: readonly string[];
}

/**
 * The changes, out of those after the revision that is gone back to, that touched what the rollback alters.
 * @param altered the documents that differ between now and then, and `fault <id>` of those injected since
 */
export async function changesUndone(
  changes: Iterable<RecordedChange> | AsyncIterable<RecordedChange>,
  altered: ReadonlySet<string>,
): Promise<UndoneChange[]> {
  const undone: UndoneChange[] = [];
  for await (const recorded of changes) {
    const touched = new Set(recorded.change.data.events.flatMap(touchedBy));
    const keys = [...touched].filter((key) => altered.has(key));
    if (keys.length > 0) undone.push({ recorded, keys });
  }
  return undone;
}

function touchedBy(event: DomainEvent): string[] {
  if (event.type === "FaultInjected") return [faultKey(event.id)];
  const key = documentOfEvent(event);
  return key === undefined ? [] : [key];
}

/** How a fault is named among documents. */
export function faultKey(id: string): string {
  return `fault ${id}`;
}
