/** Two versions of a text line by line, what left and what came marked as in any diff. */

import { listDiff } from "../../events/list-diff.ts";
import type { Paint } from "./output.ts";
import { safeText } from "./safe-text.ts";

export interface MarkedLine {
  readonly mark: "+" | "-" | " ";
  readonly text: string;
}

const MARK_STYLES = { "+": "green", "-": "red", " ": "dim" } as const;

/** All lines of both versions in order, each marked as kept, removed or added. */
export function markedLines(was: readonly string[], is: readonly string[]): MarkedLine[] {
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

/** The lines that changed, each with so many around it; `…` stands for what was left out. */
export function changedLines(lines: readonly MarkedLine[], context: number): MarkedLine[] {
  const isNear = lines.map((_, index) =>
    lines.slice(Math.max(0, index - context), index + context + 1).some(({ mark }) => mark !== " "),
  );
  return lines.flatMap((line, index) => {
    if (isNear[index] === true) return [line];
    const isFirstLeftOut = index === 0 || isNear[index - 1] === true;
    return isFirstLeftOut ? [{ mark: " " as const, text: "…" }] : [];
  });
}

/** One line for a terminal. */
export function paintLine({ mark, text }: MarkedLine, paint: Paint): string {
  return paint(MARK_STYLES[mark], `${mark} ${safeText(text)}`.trimEnd());
}
