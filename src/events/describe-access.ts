/** Events about access policy in words: each sentence continues "alice …". */

import {
  type AccessConditions,
  type AccessRule,
  type ClaimCondition,
  type GrpcMethods,
  type HeaderMatch,
  partsOf,
} from "../policy/schema.ts";
import type { DomainEvent } from "./domain-events.ts";
import { itemList } from "./item-list.ts";

type AccessEvent = Extract<DomainEvent, { type: `Access${string}`; service: string }>;

/** Whether an event is about an access policy. */
export function isAccessEvent(event: DomainEvent): event is AccessEvent {
  return "service" in event && event.type.startsWith("Access");
}

export function describeAccess(event: AccessEvent): string {
  const service = `${event.namespace}/${event.service}`;
  switch (event.type) {
    case "AccessPolicyDeclared": {
      const said = [event.dryRun && "dry run", event.default && `${event.default} what no rule speaks of`];
      const parts = said.filter((part) => part !== undefined);
      const how = parts.length === 0 ? "" : `: ${parts.join(", ")}`;
      return `declared the access policy ${event.name} of ${service}${how}`;
    }
    case "AccessPolicyDefaultSet": {
      const inherited = "the default of the mesh";
      return `set what happens to calls of ${service} that no rule speaks of from ${event.from ?? inherited} to ${event.to ?? inherited}`;
    }
    case "AccessDryRunStarted":
      return `put the access policy ${event.name} of ${service} in dry run: it decides nothing`;
    case "AccessDryRunEnded":
      return `put the access policy ${event.name} of ${service} in force`;
    case "AccessGranted":
    case "AccessRevoked":
    case "AccessForbidden":
    case "AccessForbiddanceLifted":
    case "AccessAuditAdded":
    case "AccessAuditRemoved":
      return `${RULE_VERBS[event.type]} ${calls(event.rule, service)}${event.dryRun === true ? " (dry run)" : ""}`;
    case "AccessPolicyRemoved":
      return `removed the access policy ${event.name} of ${service}`;
  }
}

const RULE_VERBS = {
  AccessGranted: "granted",
  AccessRevoked: "revoked",
  AccessForbidden: "forbade",
  AccessForbiddanceLifted: "no longer forbids",
  AccessAuditAdded: "audits",
  AccessAuditRemoved: "no longer audits",
} as const;

function calls(rule: AccessRule, service: string): string {
  const { conditions } = partsOf(rule);
  return [callers(conditions), "→", service, ...requests(conditions)].join(" ");
}

function callers({ from, notFrom, ipBlocks, notIpBlocks }: AccessConditions): string {
  const parts = [
    from === undefined ? "any caller" : itemList(from.map(callerName)),
    notFrom && `but ${itemList(notFrom.map(callerName))}`,
    ipBlocks && `at ${itemList(ipBlocks)}`,
    notIpBlocks && `not at ${itemList(notIpBlocks)}`,
  ];
  return said(parts).join(" ");
}

function callerName(pattern: string): string {
  if (pattern === "*") return "any caller";
  return pattern === "none" ? "callers without an identity" : pattern;
}

function requests(conditions: AccessConditions): string[] {
  const { methods, notMethods, paths, notPaths, ports, notPorts, grpc, notGrpc, sni, notSni } = conditions;
  return said([
    methods && itemList(methods),
    notMethods && `not ${itemList(notMethods)}`,
    paths && itemList(paths),
    notPaths && `not ${itemList(notPaths)}`,
    grpc && `gRPC ${itemList(grpc.flatMap(grpcNames))}`,
    notGrpc && `not gRPC ${itemList(notGrpc.flatMap(grpcNames))}`,
    ports && `on port ${itemList(ports.map(String))}`,
    notPorts && `not on port ${itemList(notPorts.map(String))}`,
    conditions.headers && `with ${headers(conditions.headers)}`,
    conditions.notHeaders && `without ${headers(conditions.notHeaders)}`,
    sni && `for ${itemList(sni)}`,
    notSni && `not for ${itemList(notSni)}`,
    conditions.when && `when ${itemList(conditions.when.map(claim))}`,
  ]);
}

function grpcNames({ service, methods }: GrpcMethods): string[] {
  return methods === undefined ? [service] : methods.map((method) => `${service}/${method}`);
}

/** Names alone: a header's value may be a secret. */
function headers(matches: Readonly<Record<string, HeaderMatch>>): string {
  return itemList(Object.keys(matches));
}

function claim({ claim: name, values, notValues }: ClaimCondition): string {
  const path = typeof name === "string" ? name : name.join(".");
  const parts = [values && `is ${itemList(values)}`, notValues && `is not ${itemList(notValues)}`];
  return `${path} ${said(parts).join(" and ")}`;
}

function said(parts: readonly (string | undefined)[]): string[] {
  return parts.filter((part) => part !== undefined);
}
