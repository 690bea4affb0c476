/** What is wrong with somebody's policy file: where, what, and what to write instead. */

import type { DocumentKey } from "./names.ts";
import type { DocumentPath } from "./remark.ts";

/** A place in a file. Both count from 1; columns count UTF-16 code units, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** One mistake in a policy file. */
export interface Problem {
  readonly file: string;
  /** From 1; 0 when the file as a whole is meant. */
  readonly line: number;
  /** From 1, in UTF-16 code units; 0 when the file as a whole is meant. */
  readonly column: number;
  /** Such as `spec.rules[0].retries.attempts`; empty for the document or file as a whole. */
  readonly path: string;
  /** The document, when enough of it could be read to name it. */
  readonly document?: DocumentKey;
  /** What is wrong. */
  readonly message: string;
  /** What to write instead. */
  readonly hint?: string;
}

const PLAIN_SEGMENT = /^[A-Za-z0-9_-]+$/;

/** `spec.rules[0].match[0].headers.x-user`; names with other characters are quoted in brackets. */
export function formatPath(path: DocumentPath): string {
  let text = "";
  for (const segment of path) {
    if (typeof segment === "number") text += `[${segment}]`;
    else if (!PLAIN_SEGMENT.test(segment)) text += `[${JSON.stringify(segment)}]`;
    else text += text === "" ? segment : `.${segment}`;
  }
  return text;
}

/** One line for people: `shop.yaml:12:7 spec.rules[0].timeout: must be …; write 3s`. */
export function formatProblem({ file, line, column, path, message, hint }: Problem): string {
  const where = line === 0 ? file : `${file}:${line}:${column}`;
  const what = path === "" ? ` ${message}` : ` ${path}: ${message}`;
  return `${where}${line === 0 ? ":" : ""}${what}${hint === undefined ? "" : `; ${hint}`}`;
}

/** Top to bottom within one file. */
export function byPosition(left: Position, right: Position): number {
  return left.line - right.line || left.column - right.column;
}
