/** Which revocations a service's sidecars must know of: of their own service, and of those it calls or is called by. */

import type { IdentityRevocation, MeshState } from "../events/state.ts";
import { serviceRef } from "../policy/names.ts";
import { mayCall, type ServiceName } from "./call-graph.ts";
import type { SnapshotRevocation } from "./snapshot.ts";

/** @param mayBeCalled whether the service may call another */
export function compileRevocations(
  state: MeshState,
  service: ServiceName,
  mayBeCalled: (called: ServiceName) => boolean,
): { revocations?: SnapshotRevocation[] } {
  const own = serviceRef(service.namespace, service.name);
  const revocations: SnapshotRevocation[] = [];
  for (const [namespace, content] of state.namespaces) {
    for (const [name, revocation] of content.revocations) {
      const revoked = { namespace, name };
      if (serviceRef(namespace, name) !== own && !mayBeCalled(revoked) && !mayCall(state, revoked, service)) continue;
      const entry = snapshotRevocation(revoked, revocation);
      if (entry !== undefined) revocations.push(entry);
    }
  }
  if (revocations.length === 0) return {};
  return { revocations: revocations.sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1)) };
}

/** Undefined where nothing is refused for it: instances concern the authority alone. */
function snapshotRevocation(
  service: ServiceName,
  { whole, issuedBefore, serials }: IdentityRevocation,
): SnapshotRevocation | undefined {
  if (whole === undefined && issuedBefore === undefined && serials.size === 0) return undefined;
  const revisions = [...serials.values(), ...(whole === undefined ? [] : [whole])].map(({ revision }) => revision);
  return {
    ...service,
    whole: whole !== undefined,
    ...(issuedBefore === undefined ? {} : { issuedBeforeMs: Date.parse(issuedBefore) }),
    serials: [...serials.keys()].sort(),
    revision: Math.max(0, ...revisions),
  };
}

function sortKey({ namespace, name }: SnapshotRevocation): string {
  return serviceRef(namespace, name);
}
