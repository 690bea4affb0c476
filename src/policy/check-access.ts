/** Access rules that cannot do what they seem to say, given the service that they guard. */

import type { DocumentPath } from "./check.ts";
import { type AccessConditions, type AccessRule, partsOf, type ServiceSpec } from "./schema.ts";

export interface AccessWarning {
  readonly path: DocumentPath;
  readonly message: string;
}

/** Conditions that can be told of HTTP alone. */
const HTTP_FIELDS = [
  "methods",
  "notMethods",
  "paths",
  "notPaths",
  "headers",
  "notHeaders",
  "grpc",
  "notGrpc",
  "when",
] as const satisfies (keyof AccessConditions)[];

/** @param path where the rule stands in its document. */
export function checkAccessRule(rule: AccessRule, path: DocumentPath, service: ServiceSpec): AccessWarning[] {
  const { action, conditions } = partsOf(rule);
  const at = [...path, action];
  return [...checkPorts(conditions, at, service), ...checkProtocol(action, conditions, at, service)];
}

function checkPorts({ ports }: AccessConditions, at: DocumentPath, service: ServiceSpec): AccessWarning[] {
  const known = service.ports.map(({ port }) => port);
  return (ports ?? []).flatMap((port, index) => {
    if (known.includes(port)) return [];
    const message = `the service has no port ${port}; it has ${known.join(", ")}`;
    return [{ path: [...at, "ports", index], message }];
  });
}

function checkProtocol(
  action: string,
  conditions: AccessConditions,
  at: DocumentPath,
  service: ServiceSpec,
): AccessWarning[] {
  if (service.ports.some(({ protocol }) => protocol !== "tcp")) return [];
  const effect = action === "allow" ? "this rule never matches" : "it is left out, and the rule matches without it";
  return HTTP_FIELDS.filter((field) => conditions[field] !== undefined).map((field) => ({
    path: [...at, field],
    message: `cannot be told of tcp: ${effect}`,
  }));
}
