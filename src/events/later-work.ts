/** What others did since a revision: whoever goes back there undoes it, and has to say that this is meant. */

import type { DocumentKey } from "../policy/names.ts";
import type { RecordedChange } from "./change.ts";
import { documentOfEvent } from "./event-document.ts";

/** Somebody's last change of one thing. */
export interface LaterChange {
  readonly revision: number;
  readonly actor: string;
}

/** For each thing, its last change by somebody else: bounded by the number of things, however long the history. */
export interface LaterWork {
  readonly documents: ReadonlyMap<DocumentKey, LaterChange>;
  /** Faults that were injected, by id. */
  readonly faults: ReadonlyMap<string, LaterChange>;
}

/**
 * @param changes those after the revision, in order
 * @param own public key of whoever goes back
 */
export async function workOfOthers(
  changes: Iterable<RecordedChange> | AsyncIterable<RecordedChange>,
  own: string,
): Promise<LaterWork> {
  const documents = new Map<DocumentKey, LaterChange>();
  const faults = new Map<string, LaterChange>();
  for await (const { revision, change } of changes) {
    const { actor, events } = change.data;
    if (actor.publicKey === own) continue;
    for (const event of events) {
      const key = documentOfEvent(event);
      if (key !== undefined) documents.set(key, { revision, actor: actor.name });
      if (event.type === "FaultInjected") faults.set(event.id, { revision, actor: actor.name });
    }
  }
  return { documents, faults };
}
