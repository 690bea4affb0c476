/** Access rules that cannot do what they seem to say, given the service that they guard, and tokens that contradict. */

import { checkAccessPaths } from "./check-paths.ts";
import type { DocumentPath, Remark } from "./remark.ts";
import { type AccessConditions, type AccessRule, partsOf, type ServiceSpec } from "./schema.ts";

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
export function checkAccessRule(rule: AccessRule, path: DocumentPath, service: ServiceSpec): Remark[] {
  const { action, conditions } = partsOf(rule);
  const at = [...path, action];
  return [
    ...checkPorts(conditions, at, service),
    ...checkProtocol(action, conditions, at, service),
    ...checkClaims(conditions, at, service),
    ...checkAccessPaths(conditions, at),
  ];
}

function checkPorts({ ports }: AccessConditions, at: DocumentPath, service: ServiceSpec): Remark[] {
  const known = service.ports.map(({ port }) => port);
  return (ports ?? []).flatMap((port, index) => {
    if (known.includes(port)) return [];
    const message = `the service has no port ${port}; it has ${known.join(", ")}`;
    return [{ path: [...at, "ports", index], message }];
  });
}

function checkClaims({ when }: AccessConditions, at: DocumentPath, { jwt }: ServiceSpec): Remark[] {
  if (when === undefined || jwt !== undefined) return [];
  const message = "the service validates no tokens, so no claim is known; declare spec.jwt in its Service";
  return [{ path: [...at, "when"], message }];
}

function checkProtocol(action: string, conditions: AccessConditions, at: DocumentPath, service: ServiceSpec): Remark[] {
  if (service.ports.some(({ protocol }) => protocol !== "tcp")) return [];
  const effect = action === "allow" ? "this rule never matches" : "it is left out, and the rule matches without it";
  return HTTP_FIELDS.filter((field) => conditions[field] !== undefined).map((field) => ({
    path: [...at, field],
    message: `cannot be told of tcp: ${effect}`,
  }));
}

/** Two providers of one issuer would leave it open whose keys count. */
export function checkJwt({ jwt, ports }: ServiceSpec): { errors: Remark[]; warnings: Remark[] } {
  const errors: Remark[] = [];
  const warnings: Remark[] = [];
  if (jwt === undefined) return { errors, warnings };
  const at = ["spec", "jwt"];
  const issuers = new Set<string>();
  for (const [index, { issuer, jwksUri }] of jwt.providers.entries()) {
    const path = [...at, "providers", index];
    if (issuers.has(issuer)) errors.push({ path: [...path, "issuer"], message: `${issuer} is listed twice` });
    issuers.add(issuer);
    if (jwksUri?.startsWith("http://") === true && !isLoopback(jwksUri)) {
      const message = "keys that come without TLS can be anybody's: use https, or write them into jwks";
      warnings.push({ path: [...path, "jwksUri"], message });
    }
  }
  if (ports.every(({ protocol }) => protocol === "tcp")) {
    warnings.push({ path: at, message: "a tcp connection carries no tokens: nothing is validated" });
  }
  return { errors, warnings };
}

function isLoopback(uri: string): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(uri).hostname);
}
