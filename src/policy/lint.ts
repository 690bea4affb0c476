/** The checks across documents, with files and lines for people. */

import { type CheckResult, checkDocuments, EMPTY_MESH, type Finding, type KnownMesh } from "./check.ts";
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

/**
 * What is wrong with some documents whatever the others say, for files that cannot be read as a whole: a service that
 * seems to be declared nowhere may be declared in a document that is invalid, so of that nothing is said.
 */
export function lintAlone(documents: readonly LocatedDocument[]): readonly Problem[] {
  const { errors, warnings } = checkDocuments(
    documents.map(({ document }) => document),
    EMPTY_MESH,
  );
  const own = errors.filter(({ path }) => path.join(".") !== "spec.service");
  return locateFindings(documents, { errors: own, warnings }).errors;
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
