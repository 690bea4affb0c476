/** A document's two versions as lines of YAML, what left and what came marked as in any diff. */

import { renderDocument } from "../../policy/render.ts";
import type { PolicyDocument } from "../../policy/schema.ts";
import type { DocumentDifference } from "../../replay/diff.ts";
import { type MarkedLine, markedLines, paintLine } from "./marked-lines.ts";
import type { Paint } from "./output.ts";

/** Undefined stands for a document that is not there. */
export function documentLines(before: PolicyDocument | undefined, after: PolicyDocument | undefined): MarkedLine[] {
  return markedLines(linesOf(before), linesOf(after));
}

/** The document's key, what became of it, and its lines. */
export function differenceLines({ key, change, before, after }: DocumentDifference, paint: Paint): string[] {
  const lines = documentLines(before?.document, after?.document);
  return [`${paint("bold", key)} ${change}`, ...lines.map((line) => paintLine(line, paint))];
}

function linesOf(document: PolicyDocument | undefined): string[] {
  return document === undefined ? [] : renderDocument(document).trimEnd().split("\n");
}
