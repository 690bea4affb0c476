/** What each kind of command comes down to, before events are chosen: the documents that it wants. */

import { documentKey, documentNamespace } from "../policy/document-key.ts";
import { serviceRef } from "../policy/names.ts";
import { nearest } from "../policy/nearest.ts";
import { formatPath } from "../policy/problems.ts";
import type { DocumentPath } from "../policy/remark.ts";
import { err, ok, type Result } from "../policy/result.ts";
import { type PolicyDocument, policyDocument } from "../policy/schema.ts";
import type { Refusal } from "./commands.ts";
import type { WantedDocument } from "./document-events.ts";
import type { DomainEvent } from "./domain-events.ts";
import type { LaterWork } from "./later-work.ts";
import type { MeshState } from "./state.ts";

/** What a decision needs beside the state as of now. */
export interface DecisionContext {
  /** The state as of the revision that a rollback names; nothing else needs it. */
  readonly target?: MeshState | undefined;
  /** What others did since that revision; absent: nothing. */
  readonly others?: LaterWork | undefined;
  /** The states around the change that a revert names; nothing else needs them. */
  readonly reverted?: RevertedChange | undefined;
}

/** The mesh on both sides of a change that is to be undone. */
export interface RevertedChange {
  readonly before: MeshState;
  readonly after: MeshState;
}

/** What a command comes down to. */
export interface Plan {
  readonly wanted: readonly WantedDocument[];
  /** Events about what no document says, such as operators. */
  readonly facts?: readonly DomainEvent[];
  readonly warnings: readonly string[];
  /** Stands before the events, and is nothing without them. */
  readonly mark?: DomainEvent;
}

/** `path` is a document's key, a space and a place in it; or the name of a command's field; or empty. */
export type RefusalProblem = Refusal["problems"][number];

/** Problems beyond this many say nothing new, and an answer has to fit into one message. */
const PROBLEMS_MAX = 100;

/** A refusal for these problems, of which at most `PROBLEMS_MAX` are told. */
export function refuse(...problems: readonly RefusalProblem[]): { readonly ok: false; readonly error: Refusal } {
  const rest = problems.length - PROBLEMS_MAX;
  if (rest <= 0) return err({ kind: "refused", problems });
  return err({ kind: "refused", problems: [...problems.slice(0, PROBLEMS_MAX), problem("", `and ${rest} more`)] });
}

/** One reason of a refusal; see `RefusalProblem` for `path`. */
export function problem(path: string, message: string): RefusalProblem {
  return { path, message };
}

/** A place in a document, as problems and warnings name it: `Route/shop/catalog spec.rules[0]`. */
export function placeIn(key: string, path: DocumentPath): string {
  return path.length === 0 ? key : `${key} ${formatPath(path)}`;
}

/** The document as it stands is what is wanted. */
export function wanting(document: PolicyDocument): WantedDocument {
  const { kind, metadata } = document;
  return { name: { kind, namespace: documentNamespace(document), name: metadata.name }, document };
}

/** Refuses a service of another namespace than the command is for; undefined where it is of this one. */
export function refuseForeign(
  { namespace: own, name }: { readonly namespace: string; readonly name: string },
  namespace: string,
): ReturnType<typeof refuse> | undefined {
  if (own === namespace) return undefined;
  const ref = serviceRef(own, name);
  return refuse(problem("service", `${ref} belongs to another namespace, and this command is for ${namespace}`));
}

/** A plan for what no document says. */
export function recording(fact: DomainEvent, warnings: readonly string[] = []): { readonly ok: true; value: Plan } {
  return ok({ wanted: [], facts: [fact], warnings });
}

/** A plan for one document that a decider has put together, which may have outgrown the schema's bounds. */
export function planDocument(document: PolicyDocument): Result<Plan, Refusal> {
  const parsed = policyDocument.safeParse(document);
  if (parsed.success) return ok({ wanted: [wanting(document)], warnings: [] });
  const key = documentKey(document);
  return refuse(...parsed.error.issues.map(({ path, message }) => problem(placeIn(key, path.filter(isStep)), message)));
}

/** Why a key names nothing, with the nearest one that does. */
export function unknownKey(key: string, known: Iterable<string>): RefusalProblem {
  const meant = nearest(key, known);
  return problem(key, `there is no ${key}${meant === undefined ? "" : `; did you mean ${meant}?`}`);
}

function isStep(step: PropertyKey): step is string | number {
  return typeof step !== "symbol";
}
