/**
 * From a command to events, or to a refusal in words. Pure: the same state and the same command give the same answer,
 * which is how a dry run, a retry after a conflict and a replay can trust it.
 */

import { type CheckResult, checkDocuments, type Finding, type KnownMesh } from "../policy/check.ts";
import { keyOf } from "../policy/document-key.ts";
import { isDnsLabel, MESH_NAMESPACE } from "../policy/names.ts";
import { ok, type Result } from "../policy/result.ts";
import type { CommandBody, Decision, Refusal } from "./commands.ts";
import { planAccess } from "./decide-access.ts";
import { planApply, planDelete } from "./decide-apply.ts";
import { planFaultClear, planFaultInject } from "./decide-faults.ts";
import { decideFederation, type FederationCommand } from "./decide-federation.ts";
import { decideIdentity, type IdentityCommand } from "./decide-identity.ts";
import { planOperatorAdd, planOperatorRevoke } from "./decide-operators.ts";
import { planRevert } from "./decide-revert.ts";
import { planRollback } from "./decide-rollback.ts";
import { decideRoots, type RootCommand } from "./decide-roots.ts";
import { planShift } from "./decide-shift.ts";
import { planTokenCreate, planTokenRevoke } from "./decide-tokens.ts";
import { type DecisionContext, type Plan, placeIn, problem, refuse } from "./decision-plan.ts";
import { eventsTowards } from "./document-events.ts";
import { documentAt, documentsOf } from "./documents.ts";
import type { DomainEvent } from "./domain-events.ts";
import { evolve } from "./evolve.ts";
import { distrustWarnings } from "./external-services.ts";
import { OwnedMaps } from "./maps.ts";
import { mtlsLeaps } from "./mtls-mode.ts";
import type { MeshState, Origin } from "./state.ts";

/** A command for one namespace, its sender already authenticated and its form already validated. */
export interface DecidableCommand {
  readonly namespace: string;
  readonly body: CommandBody;
}

/** Warnings beyond this many are noise, and an answer has to fit into one message. */
const WARNINGS_MAX = 100;

/**
 * Services of a namespace. Each of its sidecars knows all others by name, to say "denied" and not "unknown": what is
 * stored grows with their square, to some 100 MB here, which a control replica reads when it starts.
 */
export const NAMESPACE_SERVICES_MAX = 2_000;

/** No events means that everything is as the command wants it already. */
export function decide(
  state: MeshState,
  { namespace, body }: DecidableCommand,
  context: DecisionContext = {},
): Result<Decision, Refusal> {
  if (namespace !== MESH_NAMESPACE && !isDnsLabel(namespace)) {
    return refuse(problem("namespace", `${JSON.stringify(namespace)} cannot be a namespace: it is no DNS label`));
  }
  if (isIdentityCommand(body)) return decideIdentity(state, namespace, body);
  if (isFederationCommand(body)) return decideFederation(state, namespace, body);
  if (isRootCommand(body)) return decideRoots(state, namespace, body);
  const plan = planFor(state, namespace, body, context);
  if (!plan.ok) return plan;
  const { wanted, warnings, mark, facts = [] } = plan.value;
  const events = [...facts, ...eventsTowards(state, wanted)];
  if (events.length === 0) {
    if (mark === undefined) return ok({ events, warnings });
    return refuse(problem("", nothingToDo(mark)));
  }
  const findings = newFindings(state, namespace, events, plan.value);
  if (findings.errors.length > 0) {
    const since = mark === undefined ? () => "" : (key: string) => lastChange(state, key);
    return refuse(
      ...findings.errors.map(({ key, path, message }) => problem(placeIn(key, path), `${message}${since(key)}`)),
    );
  }
  const found = findings.warnings.slice(0, WARNINGS_MAX).map(({ key, path, message }) => {
    return `${placeIn(key, path)}: ${message}`;
  });
  const after = afterEvents(state, events);
  const services = servicesIn(after, namespace);
  if (services > NAMESPACE_SERVICES_MAX && services > servicesIn(state, namespace)) {
    const advice = `no more than ${NAMESPACE_SERVICES_MAX} are allowed; put some into another namespace`;
    return refuse(problem("", `${namespace} would have ${services} services, and ${advice}`));
  }
  const leaps = [...mtlsLeaps(state, after), ...distrustWarnings(after, events)];
  return ok({ events: mark === undefined ? events : [mark, ...events], warnings: [...warnings, ...leaps, ...found] });
}

function servicesIn(state: MeshState, namespace: string): number {
  return state.namespaces.get(namespace)?.services.size ?? 0;
}

/** These are about no document, and lead to their events straight away. */
function isIdentityCommand(body: CommandBody): body is IdentityCommand {
  return body.kind === "revoke-identity" || body.kind === "reinstate-identity";
}

function isRootCommand(body: CommandBody): body is RootCommand {
  return body.kind === "rotate-root" || body.kind === "add-root";
}

function isFederationCommand(body: CommandBody): body is FederationCommand {
  return body.kind === "federate" || body.kind === "unfederate";
}

function planFor(
  state: MeshState,
  namespace: string,
  body: Exclude<CommandBody, IdentityCommand | RootCommand | FederationCommand>,
  context: DecisionContext,
): Result<Plan, Refusal> {
  switch (body.kind) {
    case "apply":
      return planApply(state, namespace, body);
    case "delete":
      return planDelete(state, namespace, body);
    case "access":
      return planAccess(state, namespace, body);
    case "shift":
      return planShift(state, namespace, body);
    case "rollback":
      return planRollback(state, context, namespace, body);
    case "revert":
      return planRevert(state, context.reverted, namespace, body);
    case "operator-add":
      return planOperatorAdd(state, namespace, body);
    case "operator-revoke":
      return planOperatorRevoke(state, namespace, body);
    case "token-create":
      return planTokenCreate(state, namespace, body);
    case "token-revoke":
      return planTokenRevoke(state, namespace, body);
    case "fault-inject":
      return planFaultInject(state, namespace, body);
    case "fault-clear":
      return planFaultClear(state, namespace, body);
    default: {
      const unheard: never = body;
      return unheard;
    }
  }
}

/**
 * What the semantic checks say about the namespace as it would be: everything about the documents that the command
 * names, and of the others only what they did not already have wrong with them.
 */
function newFindings(state: MeshState, namespace: string, events: readonly DomainEvent[], plan: Plan): CheckResult {
  const after = checkNamespace(afterEvents(state, events), namespace);
  if (after.errors.length === 0 && after.warnings.length === 0) return after;
  const before = checkNamespace(state, namespace);
  const known = new Set([...before.errors, ...before.warnings].map(findingText));
  const named = new Set<string>(plan.wanted.map(({ name }) => keyOf(name.kind, name.namespace, name.name)));
  const isNew = (finding: Finding): boolean => named.has(finding.key) || !known.has(findingText(finding));
  return { errors: after.errors.filter(isNew), warnings: after.warnings.filter(isNew) };
}

function nothingToDo(mark: DomainEvent): string {
  return mark.type === "ChangeReverted"
    ? `nothing of revision ${mark.revision} is in force any more, so there is nothing to revert`
    : "nothing differs from that revision, so there is nothing to roll back";
}

/** Where going back is refused for a document's sake: the later change that stands in the way. */
function lastChange(state: MeshState, key: string): string {
  const origin = documentAt(state, key)?.origin;
  return origin === undefined ? "" : ` (as ${origin.actor} has it since revision ${origin.revision})`;
}

function checkNamespace(state: MeshState, namespace: string): CheckResult {
  const known: KnownMesh = {
    service: (inNamespace, name) => state.namespaces.get(inNamespace)?.services.get(name)?.value,
    // A route stands in the namespace of its service, so all of them are among the documents.
    routes: () => [],
  };
  const documents = documentsOf(state, { namespace }).map(({ document }) => document);
  return checkDocuments(documents, known);
}

function afterEvents(state: MeshState, events: readonly DomainEvent[]): MeshState {
  // Only the documents are looked at, so it does not matter who is said to have made them.
  const nobody: Origin = { revision: state.revision, actor: "", time: "" };
  const maps = new OwnedMaps();
  return events.reduce((next, event) => evolve(next, event, nobody, maps), state);
}

function findingText({ key, path, message }: Finding): string {
  return `${placeIn(key, path)}: ${message}`;
}
