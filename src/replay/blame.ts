/** Who put each field of a document where it is: the change, its author and the reason, field by field. */

import type { RecordedChange } from "../events/change.ts";
import { documentAt } from "../events/documents.ts";
import { foldChange } from "../events/evolve.ts";
import { itemsReplaced } from "../events/list-diff.ts";
import { INITIAL_STATE } from "../events/state.ts";
import { sameValue } from "../policy/canonical.ts";
import { isRecord } from "../policy/json.ts";
import type { DocumentKey } from "../policy/names.ts";

/** A change, as far as blame tells of it. */
export interface Authorship {
  readonly revision: number;
  readonly actor: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly reason: string;
}

export type FieldPath = readonly (string | number)[];

export interface BlamedField {
  /** Steps from the document's `spec`. */
  readonly path: FieldPath;
  /** A scalar, an empty map or list, or a list of scalars that one change wrote as a whole. */
  readonly value: unknown;
  readonly by: Authorship;
}

/** What is known of one document. */
export interface DocumentBlame {
  /** In the order of the document; empty where there is none any more. */
  readonly fields: readonly BlamedField[];
  /** The change that took the document away; undefined while it is there, or where it never was. */
  readonly removed: Authorship | undefined;
  /** The change that put what stands at a path there: the latest of those that wrote any part of it. */
  at(path: FieldPath): Authorship | undefined;
}

/** A value whose parts know who wrote them. */
type Written =
  | { readonly kind: "scalar"; readonly value: unknown; readonly by: Authorship }
  | { readonly kind: "map"; readonly fields: ReadonlyMap<string, Written>; readonly by: Authorship }
  | { readonly kind: "list"; readonly items: readonly Written[]; readonly by: Authorship };

interface Traced {
  readonly spec: unknown;
  readonly written: Written | undefined;
  readonly removed: Authorship | undefined;
}

const UNTRACED: Traced = { spec: undefined, written: undefined, removed: undefined };

/**
 * Blame for documents of one namespace.
 * @param changes the namespace's history from its beginning; other namespaces' changes in between do no harm
 */
export async function blameDocuments<K extends DocumentKey>(
  changes: Iterable<RecordedChange> | AsyncIterable<RecordedChange>,
  keys: Iterable<K>,
): Promise<ReadonlyMap<K, DocumentBlame>> {
  const traces = new Map([...keys].map((key): [K, Traced] => [key, UNTRACED]));
  let state = INITIAL_STATE;
  for await (const recorded of changes) {
    state = foldChange(state, recorded);
    for (const [key, trace] of traces) {
      const stated = documentAt(state, key);
      // What a change did not touch keeps its origin.
      if (stated !== undefined && stated.origin.revision !== recorded.revision) continue;
      traces.set(key, traced(trace, stated?.document.spec, authorship(recorded)));
    }
  }
  return new Map(Array.from(traces, ([key, trace]) => [key, toBlame(trace)]));
}

function authorship({ revision, change }: RecordedChange): Authorship {
  const { actor, reason } = change.data;
  return { revision, actor: actor.name, time: change.time, reason };
}

function traced(before: Traced, spec: unknown, by: Authorship): Traced {
  if (spec === undefined) return before.spec === undefined ? before : { ...UNTRACED, removed: by };
  return { spec, written: rewrite(before.written, before.spec, spec, by), removed: undefined };
}

/** What was written before keeps its author as far as it still says the same. */
function rewrite(written: Written | undefined, before: unknown, after: unknown, by: Authorship): Written {
  if (written !== undefined && sameValue(before, after)) return written;
  if (Array.isArray(after)) {
    if (written?.kind !== "list" || !Array.isArray(before)) return writeList(after, by);
    return { kind: "list", items: rewriteItems(written.items, before, after, by), by };
  }
  if (isRecord(after)) {
    const known = written?.kind === "map" && isRecord(before) ? { fields: written.fields, before } : undefined;
    const fields = Object.entries(after)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]): [string, Written] => [
        name,
        rewrite(known?.fields.get(name), known?.before[name], value, by),
      ]);
    return { kind: "map", fields: new Map(fields), by };
  }
  return { kind: "scalar", value: after, by };
}

function writeList(items: readonly unknown[], by: Authorship): Written {
  return { kind: "list", items: items.map((item) => rewrite(undefined, undefined, item, by)), by };
}

/** Items that stayed keep their authors wherever they moved; one that took another's place is that one, changed. */
function rewriteItems(
  written: readonly Written[],
  before: readonly unknown[],
  after: readonly unknown[],
  by: Authorship,
): Written[] {
  const replaced = itemsReplaced(before, after);
  return after.map((item, index) => {
    const from = replaced[index];
    return from === undefined
      ? rewrite(undefined, undefined, item, by)
      : rewrite(written[from], before[from], item, by);
  });
}

function toBlame({ written, removed }: Traced): DocumentBlame {
  return {
    fields: written === undefined ? [] : [...fieldsOf([], written)],
    removed,
    at: (path) => {
      let found = written;
      for (const step of path) {
        if (found?.kind === "map") found = found.fields.get(String(step));
        else if (found?.kind === "list") found = typeof step === "number" ? found.items[step] : undefined;
        else return undefined;
      }
      return found && latest(found);
    },
  };
}

function* fieldsOf(path: FieldPath, written: Written): Generator<BlamedField> {
  const { by } = written;
  const whole = wholeList(written);
  if (whole !== undefined) yield { path, value: whole.value, by: whole.by };
  else if (written.kind === "scalar") yield { path, value: written.value, by };
  else if (written.kind === "list") {
    if (written.items.length === 0) yield { path, value: [], by };
    for (const [index, item] of written.items.entries()) yield* fieldsOf([...path, index], item);
  } else {
    if (written.fields.size === 0) yield { path, value: {}, by };
    for (const [name, field] of written.fields) yield* fieldsOf([...path, name], field);
  }
}

/** A list of scalars that are all by one change says more in one line. */
function wholeList(written: Written): { value: unknown[]; by: Authorship } | undefined {
  if (written.kind !== "list") return undefined;
  const [first] = written.items;
  const values: unknown[] = [];
  for (const item of written.items) {
    if (item.kind !== "scalar" || item.by.revision !== first?.by.revision) return undefined;
    values.push(item.value);
  }
  return first && { value: values, by: first.by };
}

function latest(written: Written): Authorship {
  const parts = written.kind === "map" ? written.fields.values() : written.kind === "list" ? written.items : [];
  let last: Authorship | undefined;
  for (const part of parts) {
    const by = latest(part);
    if (last === undefined || by.revision > last.revision) last = by;
  }
  return last ?? written.by;
}
