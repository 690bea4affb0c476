/** `access`: one rule more for a service. */

import { canonicalJson } from "../policy/canonical.ts";
import { keyOf } from "../policy/document-key.ts";
import { serviceRef } from "../policy/names.ts";
import { ok, type Result } from "../policy/result.ts";
import { API_VERSION } from "../policy/schema.ts";
import type { CommandBody, Refusal } from "./commands.ts";
import { type Plan, planDocument, problem, refuse, refuseForeign } from "./decision-plan.ts";
import { EMPTY_NAMESPACE, type MeshState } from "./state.ts";

/** The rule goes to the end of the policy: its place matters to readers only, since any deny outweighs any allow. */
export function planAccess(
  state: MeshState,
  namespace: string,
  body: Extract<CommandBody, { kind: "access" }>,
): Result<Plan, Refusal> {
  const { service, policy: name, rule } = body;
  const foreign = refuseForeign(service, namespace);
  if (foreign !== undefined) return foreign;
  const policy = (state.namespaces.get(namespace) ?? EMPTY_NAMESPACE).accessPolicies.get(name);
  const key = keyOf("AccessPolicy", namespace, name);
  if (policy !== undefined && policy.service !== service.name) {
    const message = `${key} is about ${serviceRef(namespace, policy.service)}; name another policy`;
    return refuse(problem("policy", message));
  }
  const rules = policy?.rules ?? [];
  const text = canonicalJson(rule);
  const already = rules.findIndex(({ value }) => canonicalJson(value) === text);
  const origin = rules[already]?.origin;
  if (origin !== undefined) {
    const warning = `${key} already has this rule: rules[${already}], by ${origin.actor} at revision ${origin.revision}`;
    return ok({ wanted: [], warnings: [warning] });
  }
  return planDocument({
    apiVersion: API_VERSION,
    kind: "AccessPolicy",
    metadata: { namespace, name },
    spec: { service: service.name, rules: [...rules.map(({ value }) => value), rule] },
  });
}
