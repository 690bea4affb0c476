/** `revert`: undoes one change and keeps what came after it, where the two do not touch the same place. */

import { compareDocumentNames, type DocumentName, keyOf, parseDocumentKey } from "../policy/document-key.ts";
import type { DocumentKey } from "../policy/names.ts";
import { err, ok, type Result } from "../policy/result.ts";
import { type PolicyDocument, policyDocument } from "../policy/schema.ts";
import type { CommandBody, Refusal } from "./commands.ts";
import { keysIn } from "./decide-apply.ts";
import { faultsSince } from "./decide-faults.ts";
import { type Plan, placeIn, problem, type RevertedChange, refuse } from "./decision-plan.ts";
import type { WantedDocument } from "./document-events.ts";
import { documentAt, documentNamed } from "./documents.ts";
import type { DomainEvent } from "./domain-events.ts";
import type { MeshState, Origin } from "./state.ts";
import { mergeThreeWay } from "./three-way.ts";

/** A place that the change wrote and a later one wrote again. */
export interface RevertConflict {
  readonly key: DocumentKey;
  /** Steps from the document's root, as it is now; empty for the document as a whole. */
  readonly path: readonly (string | number)[];
}

/** The documents of a namespace that undoing a change leads to, or what stands in the way. */
export function undoChange(
  state: MeshState,
  { before, after }: RevertedChange,
  namespace: string,
): Result<WantedDocument[], RevertConflict[]> {
  const conflicts: RevertConflict[] = [];
  const wanted: WantedDocument[] = [];
  for (const name of changedNames(before, after, namespace)) {
    const key = keyOf(name.kind, name.namespace, name.name);
    const [base, mine, theirs] = [after, before, state].map((at) => documentNamed(at, name)?.document);
    const merged = undoDocument(base, mine, theirs);
    if (!merged.ok) conflicts.push(...merged.error.map((path) => ({ key, path })));
    else wanted.push({ name, document: merged.value });
  }
  return conflicts.length > 0 ? err(conflicts) : ok(wanted);
}

/** Merges the change's inverse into the documents as they are; refuses where a later change touched the same place. */
export function planRevert(
  state: MeshState,
  reverted: RevertedChange | undefined,
  namespace: string,
  { revision }: Extract<CommandBody, { kind: "revert" }>,
): Result<Plan, Refusal> {
  if (revision > state.revision) {
    return refuse(problem("revision", `there is no revision ${revision} yet: the last one is ${state.revision}`));
  }
  if (reverted === undefined) throw new TypeError("a revert is decided with the states around its revision");
  const undone = undoChange(state, reverted, namespace);
  if (!undone.ok) return refuse(...undone.error.map((conflict) => conflictProblem(state, conflict)));
  const facts = injectedFaults(state, reverted, namespace);
  if (undone.value.length === 0 && facts.length === 0) {
    const message = `revision ${revision} changed no document of ${namespace}, so there is nothing to revert`;
    return refuse(problem("revision", message));
  }
  if (undone.value.some(({ name, document }) => name.kind === "Mesh" && document === undefined)) {
    return refuse(problem("revision", `revision ${revision} declared the Mesh, which cannot be taken away`));
  }
  return ok({ wanted: undone.value, facts, warnings: [], mark: { type: "ChangeReverted", namespace, revision } });
}

/** What ends the faults that the change injected, as far as they go on. */
function injectedFaults(state: MeshState, { before, after }: RevertedChange, namespace: string): DomainEvent[] {
  const injected = faultsSince(before, after, namespace);
  const faults = state.namespaces.get(namespace)?.faults;
  return injected.filter((event) => event.type === "FaultCleared" && faults?.has(event.id));
}

function changedNames(before: MeshState, after: MeshState, namespace: string): DocumentName[] {
  const keys = new Set([...keysIn(before, namespace), ...keysIn(after, namespace)]);
  return [...keys]
    .filter((key) => documentAt(before, key)?.origin.revision !== documentAt(after, key)?.origin.revision)
    .flatMap((key) => parseDocumentKey(key) ?? [])
    .sort(compareDocumentNames);
}

type Path = RevertConflict["path"];

function undoDocument(
  base: PolicyDocument | undefined,
  mine: PolicyDocument | undefined,
  theirs: PolicyDocument | undefined,
): Result<PolicyDocument | undefined, Path[]> {
  const kind = (base ?? mine)?.kind;
  // A policy without rules says nothing: others' later rules do not depend on the change that created it.
  const [ours, was, now] = kind === "AccessPolicy" ? emptied(base, mine, theirs) : [base, mine, theirs];
  const { value, conflicts } = mergeThreeWay(ours, was, now, { isOrdered: () => kind !== "AccessPolicy" });
  if (conflicts.length > 0) return err([...conflicts]);
  if (value === undefined || isEmptyPolicy(value)) return ok(undefined);
  return ok(policyDocument.parse(value));
}

type Documents = readonly [PolicyDocument | undefined, PolicyDocument | undefined, PolicyDocument | undefined];

/** An absent one of three policies as one without rules, so that the others' rules merge. */
function emptied(...documents: Documents): readonly unknown[] {
  const [base, mine, theirs] = documents;
  const present = base ?? mine;
  if (present?.kind !== "AccessPolicy" || (theirs === undefined && mine === undefined)) return documents;
  const empty = { ...present, spec: { ...present.spec, rules: [] } };
  return [base ?? empty, mine ?? empty, theirs ?? empty];
}

function isEmptyPolicy(value: unknown): boolean {
  if (typeof value !== "object" || value === null || !("spec" in value)) return false;
  const { spec } = value;
  return (
    typeof spec === "object" && spec !== null && "rules" in spec && Array.isArray(spec.rules) && !spec.rules.length
  );
}

/** What a replica knows of it without reading history: the last change of the rule or the document in question. */
function conflictProblem(state: MeshState, { key, path }: RevertConflict) {
  const origin = originOf(state, key, path);
  const place = placeIn(key, path);
  if (origin === undefined) return problem(place, `${place} is not there any more: a later change took it away`);
  const { revision, actor } = origin;
  return problem(place, `${place} was changed again, last by ${actor} at revision ${revision}: revert that first`);
}

function originOf(state: MeshState, key: DocumentKey, [, list, index]: Path): Origin | undefined {
  const name = parseDocumentKey(key);
  if (name === undefined) return undefined;
  const { routes, accessPolicies } = state.namespaces.get(name.namespace) ?? {};
  const ruled = name.kind === "Route" ? routes?.get(name.name) : accessPolicies?.get(name.name);
  const hasRules = name.kind === "Route" || name.kind === "AccessPolicy";
  const rule = hasRules && list === "rules" && typeof index === "number" ? ruled?.rules[index] : undefined;
  return rule?.origin ?? documentNamed(state, name)?.origin;
}
