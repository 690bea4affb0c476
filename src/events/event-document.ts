/** Which document an event changes. */

import { keyOf } from "../policy/document-key.ts";
import { type DocumentKey, MESH_NAMESPACE } from "../policy/names.ts";
import type { PolicyKind } from "../policy/schema.ts";
import type { DomainEvent } from "./domain-events.ts";

/** The document that an event changes; undefined for operators, roots and marks. */
export function documentOfEvent(event: DomainEvent): DocumentKey | undefined {
  const kind = kindOfEvent(event);
  if (kind === undefined) return undefined;
  if (kind === "Mesh") return keyOf(kind, MESH_NAMESPACE, "default");
  return "namespace" in event && "name" in event ? keyOf(kind, event.namespace, event.name) : undefined;
}

/** The document kind that an event changes; undefined for operators, tokens, roots, identities, faults and the marks of a rollback or revert. */
export function kindOfEvent(event: DomainEvent): PolicyKind | undefined {
  switch (event.type) {
    case "MeshDeclared":
    case "MtlsModeSet":
    case "NamespaceDefaultsSet":
    case "AccessDefaultSet":
    case "CertificateTtlDefaultSet":
      return "Mesh";
    case "ServiceDeclared":
    case "ServicePortsSet":
    case "SubsetsDefined":
    case "LoadBalancerSet":
    case "ConnectionPoolSet":
    case "OutlierDetectionSet":
    case "HealthCheckSet":
    case "CertificateTtlSet":
    case "JwtValidationSet":
    case "ServiceMtlsSet":
    case "ServiceExternalSet":
    case "ServiceRemoved":
      return "Service";
    case "RouteDefined":
    case "TrafficShifted":
    case "RouteTimeoutSet":
    case "RouteRetriesSet":
    case "RouteRemoved":
      return "Route";
    case "AccessPolicyDeclared":
    case "AccessPolicyDefaultSet":
    case "AccessDryRunStarted":
    case "AccessDryRunEnded":
    case "AccessAuditAdded":
    case "AccessAuditRemoved":
    case "AccessGranted":
    case "AccessRevoked":
    case "AccessForbidden":
    case "AccessForbiddanceLifted":
    case "AccessPolicyRemoved":
      return "AccessPolicy";
    case "RateLimitSet":
    case "RateLimitRemoved":
      return "RateLimit";
    case "OperatorAdded":
    case "OperatorRevoked":
    case "TokenCreated":
    case "TokenUsed":
    case "TokenRevoked":
    case "RootAdded":
    case "RootActivated":
    case "RootRetired":
    case "FederationTrusted":
    case "FederationEnded":
    case "RootRotationStarted":
    case "RootRotationPaused":
    case "RootRotationResumed":
    case "RootRotationAborted":
    case "IdentityRevoked":
    case "IdentityReinstated":
    case "FaultInjected":
    case "FaultCleared":
    case "RolledBack":
    case "ChangeReverted":
      return undefined;
    default: {
      const unheard: never = event;
      return unheard;
    }
  }
}
