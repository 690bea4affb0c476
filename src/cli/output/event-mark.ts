/** Whether an event adds, changes or takes away: the sign that stands before its sentence in a difference. */

import type { DomainEvent } from "../../events/domain-events.ts";
import type { MeshState } from "../../events/state.ts";

export type Mark = "+" | "~" | "-";

/**
 * @param before the state that the event meets. A route that is defined may be new or defined anew; without the state
 * it is taken for the latter.
 */
export function markOf(event: DomainEvent, before?: MeshState): Mark {
  switch (event.type) {
    case "MeshDeclared":
    case "ServiceDeclared":
    case "AccessPolicyDeclared":
    case "AccessGranted":
    case "AccessForbidden":
    case "AccessAuditAdded":
    case "OperatorAdded":
    case "FaultInjected":
    case "TokenCreated":
    case "RootAdded":
    case "FederationTrusted":
    case "IdentityReinstated":
      return "+";
    case "ServiceRemoved":
    case "RouteRemoved":
    case "AccessRevoked":
    case "AccessForbiddanceLifted":
    case "AccessAuditRemoved":
    case "AccessPolicyRemoved":
    case "RateLimitRemoved":
    case "RootRetired":
    case "FederationEnded":
    case "IdentityRevoked":
    case "OperatorRevoked":
    case "FaultCleared":
    case "TokenRevoked":
      return "-";
    case "RouteDefined": {
      const isNew = before !== undefined && !before.namespaces.get(event.namespace)?.routes.has(event.name);
      return isNew ? "+" : "~";
    }
    case "RateLimitSet":
      return event.from === undefined ? "+" : "~";
    case "MtlsModeSet":
    case "NamespaceDefaultsSet":
    case "ServiceMtlsSet":
    case "ServiceExternalSet":
    case "AccessDefaultSet":
    case "AccessPolicyDefaultSet":
    case "AccessDryRunStarted":
    case "AccessDryRunEnded":
    case "RootActivated":
    case "TokenUsed":
    case "RootRotationStarted":
    case "RootRotationPaused":
    case "RootRotationResumed":
    case "RootRotationAborted":
    case "ServicePortsSet":
    case "SubsetsDefined":
    case "LoadBalancerSet":
    case "ConnectionPoolSet":
    case "OutlierDetectionSet":
    case "HealthCheckSet":
    case "CertificateTtlSet":
    case "CertificateTtlDefaultSet":
    case "JwtValidationSet":
    case "TrafficShifted":
    case "RouteTimeoutSet":
    case "RouteRetriesSet":
    case "RolledBack":
    case "ChangeReverted":
      return "~";
    default: {
      const unheard: never = event;
      return unheard;
    }
  }
}
