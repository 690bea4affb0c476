/**
 * What this version accepts and does not enforce. Policy that is taken silently and has no effect is worse than
 * policy that is refused, so whoever applies, reads or explains a document is told. The table below is the one place
 * to edit when a feature lands.
 */

import { documentKey } from "./document-key.ts";
import type { DocumentKey } from "./names.ts";
import type { DocumentPath } from "./remark.ts";
import type { PolicyDocument } from "./schema.ts";

/** A part of one document that has no effect yet. */
export interface NotEnforced {
  readonly key: DocumentKey;
  readonly path: DocumentPath;
  /** For people: "accepted, not enforced by this version", and what happens instead where that is not plain. */
  readonly note: string;
}

interface Gap {
  readonly note: string;
  /** The places in a document that this gap concerns; none when the document does not use the feature. */
  places(document: PolicyDocument): DocumentPath[];
}

/** None at present: all that is accepted is enforced. */
const GAPS: readonly Gap[] = [];

/** The parts of the documents that have no effect in this version, document by document. */
export function notEnforced(documents: readonly PolicyDocument[]): NotEnforced[] {
  return documents.flatMap((document) =>
    GAPS.flatMap(({ places, note }) => places(document).map((path) => ({ key: documentKey(document), path, note }))),
  );
}
