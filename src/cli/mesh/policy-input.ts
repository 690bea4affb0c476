/** Policy files as a command takes them: read, parsed, and every problem said with its place before giving up. */

import { documentNamespace } from "../../policy/document-key.ts";
import { lintAlone, lintDocuments } from "../../policy/lint.ts";
import type { DocumentKey } from "../../policy/names.ts";
import { type LocatedDocument, readPolicy } from "../../policy/parse.ts";
import { formatProblem, type Problem } from "../../policy/problems.ts";
import type { DocumentPath } from "../../policy/remark.ts";
import { Failure } from "../failure.ts";
import { type ByteStream, readPolicySources } from "../input/policy-sources.ts";
import { note, painter } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";
import { type ExplainProblem, explainPlainly } from "./proposal.ts";

/** Everything wrong with files, already said line by line. */
function refuseFiles(problems: readonly Problem[]): never {
  for (const problem of problems) note(safeText(formatProblem(problem)));
  throw new Failure(`nothing was changed: ${problems.length === 1 ? "1 problem" : `${problems.length} problems`}`);
}

/** The documents of files, folders and `-`. Says every problem, then throws `Failure`; so it does where there are none. */
export async function readDocuments(files: readonly string[], stdin: ByteStream): Promise<LocatedDocument[]> {
  const sources = await readPolicySources(files, stdin);
  if (!sources.ok) return refuseFiles(sources.error);
  const { documents, problems } = readPolicy(sources.value);
  if (problems.length > 0) return refuseFiles([...problems, ...lintAlone(documents).filter(isNewsBeside(problems))]);
  if (documents.length === 0) throw new Failure(`there are no documents in ${files.join(", ")}`);
  return [...documents];
}

/** Not for what is said of the same place already, if perhaps with more words. */
function isNewsBeside(said: readonly Problem[]): (problem: Problem) => boolean {
  return ({ file, line, column, message }) =>
    !said.some((other) => {
      return other.file === file && other.line === line && other.column === column && other.message.startsWith(message);
    });
}

/** Runs the checks across documents: says warnings; says errors and throws `Failure`. */
export function checkFiles(documents: readonly LocatedDocument[], known: Parameters<typeof lintDocuments>[1]): void {
  const { errors, warnings } = lintDocuments(documents, known);
  const paint = painter(process.stderr);
  for (const warning of warnings) note(`${paint("yellow", "warning:")} ${safeText(formatProblem(warning))}`);
  if (errors.length > 0) refuseFiles(errors);
}

/** Throws `Failure` where a document is of another namespace than the command was limited to. */
export function requireNamespace(documents: readonly LocatedDocument[], namespace: string): void {
  const strangers = documents.filter(({ document }) => documentNamespace(document) !== namespace);
  if (strangers.length === 0) return;
  refuseFiles(
    strangers.map(({ file, key, document, locate }): Problem => {
      const path = document.kind === "Mesh" ? ["kind"] : ["metadata", "namespace"];
      const message = `belongs to namespace ${documentNamespace(document)}, and --namespace says ${namespace}`;
      return { file, ...locate(path), path: path.join("."), document: key, message };
    }),
  );
}

/** Finds the place in the files that a problem of the control plane's is about; it names documents, not lines. */
export function explainAt(documents: readonly LocatedDocument[]): ExplainProblem {
  const byKey = new Map<string, LocatedDocument>(documents.map((located) => [located.key, located]));
  return (problem) => {
    const space = problem.path.indexOf(" ");
    const key = space < 0 ? problem.path : problem.path.slice(0, space);
    const located = byKey.get(key);
    if (located === undefined) return explainPlainly(problem);
    const path = space < 0 ? "" : problem.path.slice(space + 1);
    const { file, locate } = located;
    return safeText(formatProblem({ file, ...locate(parsePath(path)), path, message: problem.message }));
  };
}

/** Whether what the control plane says is about a document of the files, whose checks have said it with its line. */
export function isAbout(warning: string, keys: ReadonlySet<DocumentKey>): boolean {
  const end = warning.search(/[ :]/);
  const set: ReadonlySet<string> = keys;
  return end > 0 && set.has(warning.slice(0, end));
}

const PATH_STEP = /\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|([A-Za-z0-9_-]+)/g;

/** The inverse of `formatPath`. */
export function parsePath(text: string): DocumentPath {
  return Array.from(text.matchAll(PATH_STEP), ([, index, quoted, plain]) => {
    if (index !== undefined) return Number(index);
    return quoted === undefined ? (plain ?? "") : String(JSON.parse(quoted));
  });
}
