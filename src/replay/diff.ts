/** What differs between two states of the mesh: in words, and document by document. */

import { describe } from "../events/describe.ts";
import { eventsTowards } from "../events/document-events.ts";
import { documentsOf, type StatedDocument } from "../events/documents.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import type { MeshState } from "../events/state.ts";
import { sameValue } from "../policy/canonical.ts";
import { compareDocumentNames, parseDocumentKey } from "../policy/document-key.ts";
import { isRecord, ownField } from "../policy/json.ts";
import type { DocumentKey } from "../policy/names.ts";
import { administrativeLines } from "./administrative-diff.ts";

/** One place in a document where the two states differ. */
export interface FieldDifference {
  /** Steps from the document's `spec`. */
  readonly path: readonly (string | number)[];
  /** Undefined: absent. */
  readonly before: unknown;
  readonly after: unknown;
}

export interface DocumentDifference {
  readonly key: DocumentKey;
  readonly change: "added" | "removed" | "changed";
  readonly before: StatedDocument | undefined;
  readonly after: StatedDocument | undefined;
  /** Only where both states have the document; in the order of the document. */
  readonly fields: readonly FieldDifference[];
}

export interface StateDiff {
  readonly fromRevision: number;
  readonly toRevision: number;
  /** The events that would lead from the one to the other: the net effect, without what was done and undone. */
  readonly events: readonly DomainEvent[];
  /** The same in words, and what differs in operators and roots. */
  readonly lines: readonly string[];
  readonly documents: readonly DocumentDifference[];
}

export interface DiffFilter {
  /** `_mesh` for what is mesh-wide. */
  readonly namespace?: string;
}

/** From `before` to `after`; either may be the older one. */
export function diffStates(before: MeshState, after: MeshState, filter: DiffFilter = {}): StateDiff {
  const documents = documentDifferences(before, after, filter);
  const wanted = documents.flatMap(({ key, after: stated }) => {
    const name = parseDocumentKey(key);
    return name === undefined ? [] : [{ name, document: stated?.document }];
  });
  const events = eventsTowards(before, wanted);
  const lines = [...events.map(describe), ...administrativeLines(before, after, filter.namespace)];
  return { fromRevision: before.revision, toRevision: after.revision, events, lines, documents };
}

function documentDifferences(before: MeshState, after: MeshState, filter: DiffFilter): DocumentDifference[] {
  const was = new Map(documentsOf(before, filter).map((stated) => [stated.key, stated]));
  const is = new Map(documentsOf(after, filter).map((stated) => [stated.key, stated]));
  const names = [...new Set([...was.keys(), ...is.keys()])].flatMap((key) => {
    const name = parseDocumentKey(key);
    return name === undefined ? [] : [{ key, name }];
  });
  names.sort((a, b) => compareDocumentNames(a.name, b.name));
  return names.flatMap(({ key }) => documentDifference(key, was.get(key), is.get(key)));
}

function documentDifference(
  key: DocumentKey,
  before: StatedDocument | undefined,
  after: StatedDocument | undefined,
): DocumentDifference[] {
  if (before === undefined) return [{ key, change: "added", before, after, fields: [] }];
  if (after === undefined) return [{ key, change: "removed", before, after, fields: [] }];
  const fields = [...fieldDifferences([], before.document.spec, after.document.spec)];
  return fields.length === 0 ? [] : [{ key, change: "changed", before, after, fields }];
}

/** Descends where both sides have the same shape; a list that grew or shrank differs as a whole. */
function* fieldDifferences(
  path: readonly (string | number)[],
  before: unknown,
  after: unknown,
): Generator<FieldDifference> {
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    for (const [index, item] of before.entries()) yield* fieldDifferences([...path, index], item, after[index]);
  } else if (isRecord(before) && isRecord(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      yield* fieldDifferences([...path, name], ownField(before, name), ownField(after, name));
    }
  } else if (!sameValue(before, after)) {
    yield { path, before, after };
  }
}
