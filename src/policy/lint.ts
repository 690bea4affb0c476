/** The checks across documents, with files and lines for people. */

import { type CheckResult, checkDocuments, type Finding, type KnownMesh } from "./check.ts";
import type { DocumentKey } from "./names.ts";
import type { LocatedDocument } from "./parse.ts";
import { byPosition, formatPath, type Problem } from "./problems.ts";

export interface LintResult {
  /** The documents must not be applied. */
  readonly errors: readonly Problem[];
  /** Allowed, and probably not meant. */
  readonly warnings: readonly Problem[];
}

/** Runs `checkDocuments` and says where each finding stands. Problems come file by file, top to bottom. */
export function lintDocuments(documents: readonly LocatedDocument[], known: KnownMesh): LintResult {
  const plain = documents.map(({ document }) => document);
  return locateFindings(documents, checkDocuments(plain, known));
}

/** Gives positions to findings that were made without them, such as those of the control plane. */
function locateFindings(documents: readonly LocatedDocument[], { errors, warnings }: CheckResult): LintResult {
  const byKey = new Map<DocumentKey, LocatedDocument>(documents.map((located) => [located.key, located]));
  const order = new Map([...new Set(documents.map(({ file }) => file))].map((file, index) => [file, index]));
  const rank = ({ file }: Problem): number => order.get(file) ?? 0;
  const locate = (findings: readonly Finding[]): Problem[] =>
    findings
      .flatMap((finding) => problemOf(byKey.get(finding.key), finding))
      .sort((left, right) => rank(left) - rank(right) || byPosition(left, right));
  return { errors: locate(errors), warnings: locate(warnings) };
}

function problemOf(located: LocatedDocument | undefined, { key, path, message }: Finding): Problem[] {
  if (located === undefined) return [];
  return [{ file: located.file, ...located.locate(path), path: formatPath(path), document: key, message }];
}
