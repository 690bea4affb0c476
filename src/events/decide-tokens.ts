/** `token-create` and `token-revoke`: what sidecars may join with. */

import { serviceRef } from "../policy/names.ts";
import { nearest } from "../policy/nearest.ts";
import type { Result } from "../policy/result.ts";
import type { CommandBody, Refusal } from "./commands.ts";
import { usedKeyProblems } from "./decide-operators.ts";
import { type Plan, problem, recording, refuse, refuseForeign } from "./decision-plan.ts";
import type { MeshState } from "./state.ts";

type Body<K extends CommandBody["kind"]> = Extract<CommandBody, { kind: K }>;

/** Refuses keys that are in use; a service that is not declared yet is a warning. */
export function planTokenCreate(
  state: MeshState,
  namespace: string,
  { service, publicKey, expiresAt, usesMax }: Body<"token-create">,
): Result<Plan, Refusal> {
  const foreign = refuseForeign(service, namespace);
  if (foreign !== undefined) return foreign;
  const used = usedKeyProblems(state, publicKey);
  if (used.length > 0) return refuse(...used);
  const terms = { ...(expiresAt === undefined ? {} : { expiresAt }), ...(usesMax === undefined ? {} : { usesMax }) };
  const created = { type: "TokenCreated", namespace, service: service.name, publicKey, ...terms } as const;
  return recording(created, undeclaredWarnings(state, namespace, service.name));
}

/** Makes the token's key void for good. */
export function planTokenRevoke(
  state: MeshState,
  namespace: string,
  { publicKey }: Body<"token-revoke">,
): Result<Plan, Refusal> {
  const token = state.tokens.get(publicKey);
  if (token === undefined || token.namespace !== namespace) {
    return refuse(problem("publicKey", `namespace ${namespace} has no token of that key`));
  }
  return recording({ type: "TokenRevoked", namespace, service: token.service, publicKey });
}

/** A token may be made before its service is declared; but just as often the name is misspelt. */
function undeclaredWarnings(state: MeshState, namespace: string, name: string): string[] {
  const services = state.namespaces.get(namespace)?.services;
  if (services?.has(name)) return [];
  const meant = nearest(name, services?.keys() ?? []);
  const advice = meant === undefined ? "" : `; did you mean ${serviceRef(namespace, meant)}?`;
  return [`${serviceRef(namespace, name)} is not declared yet${advice}`];
}
