/**
 * Services of other meshes: what of our policy has effect on calls to them. Our own callers enforce who may call, and
 * how calls are routed and guarded; everything else is the business of the sidecars there, and said there.
 */

import type { DocumentPath, Remark } from "./remark.ts";
import { type AccessRule, partsOf, type ServiceSpec } from "./schema.ts";

const THEIRS = ["subsets", "healthCheck", "certificateTtl", "mtls", "jwt"] as const satisfies (keyof ServiceSpec)[];

/** Fields that an external service says in vain. */
export function checkExternal(spec: ServiceSpec): Remark[] {
  if (spec.external === undefined) return [];
  const message = "is for the other mesh to say: its sidecars enforce it, and not ours";
  const fields = THEIRS.filter((field) => spec[field] !== undefined).map((field) => ({
    path: ["spec", field],
    message,
  }));
  const ports = spec.ports.flatMap(({ mtls }, index) =>
    mtls === undefined ? [] : [{ path: ["spec", "ports", index, "mtls"], message }],
  );
  return [...fields, ...ports];
}

/** @param path where the rule stands in its document. */
export function checkExternalRule(rule: AccessRule, path: DocumentPath): Remark[] {
  const { action, conditions } = partsOf(rule);
  const advice =
    "policy here says only which services may call a service of another mesh; what they may do there, is said there";
  if (action !== "allow") return [{ path: [...path, action], message: `cannot be enforced: ${advice}` }];
  return Object.entries(conditions)
    .filter(([field, value]) => field !== "from" && value !== undefined)
    .map(([field]) => ({ path: [...path, action, field], message: `cannot be enforced: ${advice}` }));
}
