/** `operator-add` and `operator-revoke`: who may command. */

import { MESH_NAMESPACE } from "../policy/names.ts";
import { nearest } from "../policy/nearest.ts";
import type { Result } from "../policy/result.ts";
import { type CommandBody, isSystemName, type Refusal } from "./commands.ts";
import { type Plan, problem, type RefusalProblem, recording, refuse } from "./decision-plan.ts";
import type { MeshState } from "./state.ts";

type Body<K extends CommandBody["kind"]> = Extract<CommandBody, { kind: K }>;

/** Refuses a name that an operator has, and a key that is in use or was revoked. */
export function planOperatorAdd(
  state: MeshState,
  namespace: string,
  body: Body<"operator-add">,
): Result<Plan, Refusal> {
  const { name, publicKey, role } = body;
  const problems = [...meshWideProblems(namespace), ...usedKeyProblems(state, publicKey)];
  if (isSystemName(name)) {
    problems.push(problem("name", `${name} is how history calls the control plane itself: choose another name`));
  }
  if (operatorNamed(state, name) !== undefined) {
    problems.push(
      problem("name", `there is an operator ${name} already: revoke that one first, or choose another name`),
    );
  }
  const namespaces = [...new Set(body.namespaces)].sort();
  if (role === "editor" && namespaces.length === 0) {
    problems.push(problem("namespaces", "an editor needs at least one namespace to edit"));
  }
  if (role !== "editor" && namespaces.length > 0) {
    const reach = role === "admin" ? "may change every namespace" : "may change none";
    problems.push(problem("namespaces", `${role === "admin" ? "an admin" : "a viewer"} ${reach}: name none`));
  }
  if (problems.length > 0) return refuse(...problems);
  return recording({ type: "OperatorAdded", name, publicKey, role, namespaces });
}

/** Makes the operator's key void for good. */
export function planOperatorRevoke(
  state: MeshState,
  namespace: string,
  { name }: Body<"operator-revoke">,
): Result<Plan, Refusal> {
  const wrong = meshWideProblems(namespace);
  if (wrong.length > 0) return refuse(...wrong);
  const operators = [...state.operators.values()];
  const operator = operatorNamed(state, name);
  if (operator === undefined) {
    const known = operators.map((other) => other.name);
    const meant = nearest(name, known);
    return refuse(
      problem("name", `there is no operator ${name}${meant === undefined ? "" : `; did you mean ${meant}?`}`),
    );
  }
  const admins = operators.filter(({ role }) => role === "admin");
  if (operator.role === "admin" && admins.length === 1) {
    return refuse(problem("name", `${name} is the last admin: without one nobody could ever add another`));
  }
  return recording({ type: "OperatorRevoked", name, publicKey: operator.publicKey });
}

/** A key is used for one purpose, once: a revoked one stays void, and signatures in the ledger name one actor only. */
export function usedKeyProblems(state: MeshState, publicKey: string): RefusalProblem[] {
  const { operators, tokens, revokedKeys } = state;
  if (revokedKeys.has(publicKey)) return [problem("publicKey", "this key was revoked: make a new one")];
  const used = operators.has(publicKey) || tokens.has(publicKey);
  return used ? [problem("publicKey", "this key is in use already: make a new one")] : [];
}

function operatorNamed({ operators }: MeshState, name: string) {
  return [...operators.values()].find((operator) => operator.name === name);
}

function meshWideProblems(namespace: string): RefusalProblem[] {
  if (namespace === MESH_NAMESPACE) return [];
  return [problem("namespace", `operators are of the whole mesh, and this command is for ${namespace}`)];
}
