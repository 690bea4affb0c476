/** Files and functions that have outgrown a reader. */

import type { SourceFile } from "./source-tree.ts";

/** A declaration that opens a body, by itself or at the end of a parameter list broken over several lines. */
const FUNCTION = /^(\s*)(?:export )?(?:default )?(?:async )?function\b.*[({]$/;
const METHOD =
  /^(\s+)(?:(?:private|protected|public|static|override|async|get|set) )*(?!(?:if|for|while|switch|catch|return|await|super|with)\b)\*?(#?[\w$]+)(?:<.*>)?\(.*[({]$/;
const ARROW = /^(\s*)(?:export )?const [\w$]+.*(?:=> \{|= (?:async )?\()$/;

export interface SizeLimits {
  readonly fileLinesMax: number;
  readonly functionLinesMax: number;
}

/** One sentence for each file and function above the limits. */
export function oversized(file: SourceFile, { fileLinesMax, functionLinesMax }: SizeLimits): string[] {
  const lines = file.text.trimEnd().split("\n");
  const complaints = functionsIn(lines)
    .filter(({ length }) => length > functionLinesMax)
    .map(({ line, length }) => `${file.path}:${line}: a function of ${length} lines; ${functionLinesMax} fit a screen`);
  if (lines.length > fileLinesMax) complaints.unshift(`${file.path}: ${lines.length} lines; at most ${fileLinesMax}`);
  return complaints;
}

/**
 * Functions with a body, by their first line. Leans on the formatter: a body ends at the first line that is indented as
 * its declaration was and begins with the closing brace.
 */
function functionsIn(lines: readonly string[]): { line: number; length: number }[] {
  const found: { line: number; length: number }[] = [];
  for (const [index, text] of lines.entries()) {
    const indent = (FUNCTION.exec(text) ?? METHOD.exec(text) ?? ARROW.exec(text))?.[1];
    if (indent === undefined) continue;
    const rest = lines.slice(index + 1).findIndex((line) => line.startsWith(`${indent}}`));
    if (rest >= 0) found.push({ line: index + 1, length: rest + 2 });
  }
  return found;
}
