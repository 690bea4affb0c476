/** `rollback`: a namespace, or some of its documents, as they were at an earlier revision. */

import { type DocumentName, keyOf, parseDocumentKey } from "../policy/document-key.ts";
import { serviceRef } from "../policy/names.ts";
import { ok, type Result } from "../policy/result.ts";
import type { CommandBody, Refusal } from "./commands.ts";
import { keysIn } from "./decide-apply.ts";
import { faultsSince } from "./decide-faults.ts";
import { type DecisionContext, type Plan, problem, type RefusalProblem, refuse, unknownKey } from "./decision-plan.ts";
import { eventsTowards, type WantedDocument } from "./document-events.ts";
import { documentAt } from "./documents.ts";
import type { DomainEvent } from "./domain-events.ts";
import type { LaterChange, LaterWork } from "./later-work.ts";
import { EMPTY_NAMESPACE, type MeshState } from "./state.ts";

const NOBODYS_WORK: LaterWork = { documents: new Map(), faults: new Map() };

/**
 * `target` is the state as of `body.toRevision`. Operators, roots and revocations stay as they are: nobody gets a key
 * back by rolling back. Faults that were injected since end, and none begins again. What others did since is undone up
 * to the revision that the command names, and is a reason to refuse beyond it.
 * @throws TypeError when the revision exists and its state was not passed in: that is the caller's mistake.
 */
export function planRollback(
  state: MeshState,
  { target, others = NOBODYS_WORK }: DecisionContext,
  namespace: string,
  body: Extract<CommandBody, { kind: "rollback" }>,
): Result<Plan, Refusal> {
  const { toRevision, only, othersUpTo = 0 } = body;
  if (toRevision > state.revision) {
    return refuse(problem("toRevision", `there is no revision ${toRevision} yet: the last one is ${state.revision}`));
  }
  if (target === undefined) throw new TypeError("a rollback is decided with the state at its revision");
  const known = new Set<string>([...keysIn(state, namespace), ...keysIn(target, namespace)]);
  const keys = [...new Set(only ?? known)];
  const unknown = keys.filter((key) => !known.has(key));
  if (unknown.length > 0) return refuse(...unknown.map((key) => unknownKey(key, known)));
  const wanted = keys.flatMap((key): WantedDocument[] => {
    const name = parseDocumentKey(key);
    return name === undefined ? [] : [{ name, document: documentAt(target, key)?.document }];
  });
  if (wanted.some(({ name, document }) => name.kind === "Mesh" && document === undefined)) {
    return refuse(
      problem("toRevision", `the Mesh was declared after revision ${toRevision}, and cannot be taken away`),
    );
  }
  const facts = only === undefined ? faultsSince(target, state, namespace) : [];
  const unspoken = [
    ...wanted.filter((one) => eventsTowards(state, [one]).length > 0).flatMap(({ name }) => documentWork(others, name)),
    ...facts.flatMap((event) => faultWork(others, event)),
  ].filter(({ revision }) => revision > othersUpTo);
  if (unspoken.length > 0) return refuse(...unspoken.map(othersWork));
  const mark = { type: "RolledBack", namespace, toRevision, ...(only === undefined ? {} : { only }) } as const;
  return ok({ wanted, facts, warnings: standingRevocations(state, namespace, toRevision), mark });
}

interface NamedWork extends LaterChange {
  readonly what: string;
}

function documentWork({ documents }: LaterWork, { kind, namespace, name }: DocumentName): NamedWork[] {
  const what = keyOf(kind, namespace, name);
  const work = documents.get(what);
  return work === undefined ? [] : [{ ...work, what }];
}

function faultWork({ faults }: LaterWork, event: DomainEvent): NamedWork[] {
  const work = event.type === "FaultCleared" ? faults.get(event.id) : undefined;
  return work === undefined || event.type !== "FaultCleared" ? [] : [{ ...work, what: `fault ${event.id}` }];
}

function othersWork({ what, actor, revision }: NamedWork): RefusalProblem {
  const choice = "leave it out, or say that changes of others may be undone as well (othersUpTo; --with-others)";
  return problem("othersUpTo", `${what}: this would undo what ${actor} did at revision ${revision}: ${choice}`);
}

/** What was revoked since the target, and stays revoked: a warning to whoever rolls back. */
function standingRevocations(state: MeshState, namespace: string, toRevision: number): string[] {
  const { revocations } = state.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
  return [...revocations].flatMap(([service, { whole, instances }]) => {
    const ref = serviceRef(namespace, service);
    const revoked = [
      ...(whole === undefined ? [] : [{ what: ref, revision: whole.revision }]),
      ...Array.from(instances, ([instance, { revision }]) => ({ what: `instance ${instance} of ${ref}`, revision })),
    ];
    return revoked
      .filter(({ revision }) => revision > toRevision)
      .map(({ what, revision }) => `${what} stays revoked (revision ${revision}): heddle identity reinstate`);
  });
}
