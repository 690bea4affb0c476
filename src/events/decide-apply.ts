/** `apply` and `delete`: bring documents to what a file says, or take them away. */

import { documentKey, documentNamespace, parseDocumentKey } from "../policy/document-key.ts";
import type { DocumentKey } from "../policy/names.ts";
import { ok, type Result } from "../policy/result.ts";
import type { CommandBody, Refusal } from "./commands.ts";
import { type Plan, problem, type RefusalProblem, refuse, unknownKey, wanting } from "./decision-plan.ts";
import type { WantedDocument } from "./document-events.ts";
import { documentNamed, documentsOf } from "./documents.ts";
import type { MeshState } from "./state.ts";

type Body<K extends CommandBody["kind"]> = Extract<CommandBody, { kind: K }>;

/** The documents as given, if each is declared once and belongs to the namespace. */
export function planApply(state: MeshState, namespace: string, body: Body<"apply">): Result<Plan, Refusal> {
  const problems: RefusalProblem[] = [];
  const seen = new Set<DocumentKey>();
  for (const document of body.documents) {
    const key = documentKey(document);
    if (seen.has(key)) problems.push(problem(key, `${key} is declared twice`));
    seen.add(key);
    const belongs = documentNamespace(document);
    if (belongs !== namespace) {
      problems.push(problem(key, `belongs to namespace ${belongs}, and this command is for ${namespace}`));
    }
    if (document.kind === "Mesh") problems.push(...trustDomainProblems(state, key, document.spec.trustDomain));
  }
  if (problems.length > 0) return refuse(...problems);
  return ok({ wanted: body.documents.map(wanting), warnings: [] });
}

/** The named documents as absent. Refuses a key that names nothing, with the nearest one that does. */
export function planDelete(state: MeshState, namespace: string, body: Body<"delete">): Result<Plan, Refusal> {
  const problems: RefusalProblem[] = [];
  const wanted = new Map<string, WantedDocument>();
  for (const key of new Set(body.keys)) {
    const name = parseDocumentKey(key);
    if (name === undefined || documentNamed(state, name) === undefined) {
      problems.push(unknownKey(key, keysIn(state, namespace)));
    } else if (name.namespace !== namespace) {
      problems.push(problem(key, `belongs to namespace ${name.namespace}, and this command is for ${namespace}`));
    } else if (name.kind === "Mesh") {
      problems.push(problem(key, "a mesh without its Mesh document has no trust domain; change its fields instead"));
    } else {
      wanted.set(key, { name, document: undefined });
    }
  }
  if (problems.length > 0) return refuse(...problems);
  return ok({ wanted: [...wanted.values()], warnings: [] });
}

/** Keys of a namespace's documents, for suggestions. */
export function keysIn(state: MeshState, namespace: string): DocumentKey[] {
  return documentsOf(state, { namespace }).map(({ key }) => key);
}

function trustDomainProblems(state: MeshState, key: DocumentKey, wanted: string): RefusalProblem[] {
  const present = state.mesh?.value.trustDomain;
  if (present === undefined || present === wanted) return [];
  const message = `the trust domain is ${present} and every certificate names it, so it cannot become ${wanted}; that would be another mesh`;
  return [problem(`${key} spec.trustDomain`, message)];
}
