/** What is undone by a command of its own, and by which. */

import { tokenId } from "../../events/describe.ts";
import type { DomainEvent } from "../../events/domain-events.ts";
import { serviceRef } from "../../policy/names.ts";

/** A command, or why there is none. */
export function undoingCommand(event: DomainEvent): string {
  switch (event.type) {
    case "IdentityRevoked":
      if (event.serial !== undefined) return "a certificate stays revoked; sidecars get others by themselves";
      return `heddle identity reinstate ${identityArgument(event)}`;
    case "IdentityReinstated":
      return `heddle identity revoke ${identityArgument(event)}`;
    case "OperatorAdded":
      return `heddle operator revoke ${event.name}`;
    case "OperatorRevoked":
      return `a key that was revoked is void for good; heddle operator add ${event.name} makes another one`;
    case "TokenCreated":
      return `heddle token revoke ${tokenId(event.publicKey)}`;
    case "TokenRevoked":
      return `a key that was revoked is void for good; heddle token create ${serviceRef(event.namespace, event.service)} makes another one`;
    case "FaultInjected":
      return "is over";
    case "FaultCleared":
      return "heddle fault inject";
    case "FederationTrusted":
      return `heddle ca unfederate ${event.trustDomain}`;
    case "FederationEnded":
      return `heddle ca federate ${event.trustDomain}`;
    case "RootAdded":
    case "RootActivated":
    case "RootRetired":
    case "RootRotationStarted":
    case "RootRotationPaused":
    case "RootRotationResumed":
    case "RootRotationAborted":
      return "see heddle ca --help";
    default:
      return "nothing to undo";
  }
}

function identityArgument({
  namespace,
  service,
  instance,
}: Extract<DomainEvent, { type: "IdentityRevoked" | "IdentityReinstated" }>): string {
  const ref = serviceRef(namespace, service);
  return instance === undefined ? ref : `${ref} --instance ${instance}`;
}
