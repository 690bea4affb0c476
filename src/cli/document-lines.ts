/** A document's two versions as lines of YAML, what left and what came marked as in any diff. */

import { listDiff } from "../events/list-diff.ts";
import { renderDocument } from "../policy/render.ts";
import type { PolicyDocument } from "../policy/schema.ts";

export interface MarkedLine {
  readonly mark: "+" | "-" | " ";
  readonly text: string;
}

/** Undefined stands for a document that is not there. */
export function documentLines(before: PolicyDocument | undefined, after: PolicyDocument | undefined): MarkedLine[] {
  const was = linesOf(before);
  const is = linesOf(after);
  const { removals, insertions } = listDiff(was, is);
  const [left, came] = [new Set(removals), new Set(insertions)];
  const lines: MarkedLine[] = [];
  let next = 0;
  for (const [index, text] of was.entries()) {
    if (left.has(index)) {
      lines.push({ mark: "-", text });
      continue;
    }
    for (; came.has(next); next++) lines.push({ mark: "+", text: is[next] ?? "" });
    lines.push({ mark: " ", text });
    next += 1;
  }
  return [...lines, ...is.slice(next).map((text): MarkedLine => ({ mark: "+", text }))];
}

function linesOf(document: PolicyDocument | undefined): string[] {
  return document === undefined ? [] : renderDocument(document).trimEnd().split("\n");
}
