/** What a rollback would undo, and whose it is. */

import type { RecordedChange } from "../events/change.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import { keyOf } from "../policy/document-key.ts";
import { type DocumentKey, MESH_NAMESPACE } from "../policy/names.ts";
import { kindOfEvent } from "./history.ts";

/** A later change and the documents of it that the rollback takes back. */
export interface UndoneChange {
  readonly recorded: RecordedChange;
  readonly keys: readonly DocumentKey[];
}

/**
 * The changes, out of those after the revision that is gone back to, that touched a document which the rollback alters.
 * @param altered the documents that differ between now and then
 */
export async function changesUndone(
  changes: Iterable<RecordedChange> | AsyncIterable<RecordedChange>,
  altered: ReadonlySet<DocumentKey>,
): Promise<UndoneChange[]> {
  const undone: UndoneChange[] = [];
  for await (const recorded of changes) {
    const touched = new Set(recorded.change.data.events.flatMap((event) => documentOfEvent(event) ?? []));
    const keys = [...touched].filter((key) => altered.has(key));
    if (keys.length > 0) undone.push({ recorded, keys });
  }
  return undone;
}

/** The document that an event changes; undefined for operators, roots and marks. */
export function documentOfEvent(event: DomainEvent): DocumentKey | undefined {
  const kind = kindOfEvent(event);
  if (kind === undefined) return undefined;
  if (kind === "Mesh") return keyOf(kind, MESH_NAMESPACE, "default");
  return "namespace" in event && "name" in event ? keyOf(kind, event.namespace, event.name) : undefined;
}
