/** What an explanation consists of. */

import { keyOf } from "../policy/document-key.ts";
import type { DocumentKey } from "../policy/names.ts";
import type { PolicyKind } from "../policy/schema.ts";
import type { FieldPath } from "./blame.ts";

/** One thing that an answer rests on. */
export interface Fact {
  readonly about: string;
  readonly text: string;
  /** Where it is written; undefined for what is so by default. */
  readonly place?: Place | undefined;
}

export interface Place {
  readonly key: DocumentKey;
  /** Steps from the document's `spec`. */
  readonly path: FieldPath;
}

/** A place in a document, by the document's kind and name. */
export function placeIn(kind: PolicyKind, namespace: string, name: string, path: FieldPath): Place {
  return { key: keyOf(kind, namespace, name), path };
}
