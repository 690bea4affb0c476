/** What the authority must heed of the revocations in the ledger. */

import type { SigningRevocation } from "../ca/sign-service.ts";
import type { MeshState } from "../events/state.ts";
import { serviceRef } from "../policy/names.ts";

/** Undefined where nothing of the service is revoked. */
export function signingRevocation(state: MeshState, namespace: string, name: string): SigningRevocation | undefined {
  const revocation = state.namespaces.get(namespace)?.revocations.get(name);
  if (revocation === undefined) return undefined;
  const { whole, issuedBefore, instances } = revocation;
  const service = serviceRef(namespace, name);
  return {
    refusal(instance) {
      const origin = whole ?? (instance === undefined ? undefined : instances.get(instance));
      if (origin === undefined) return undefined;
      const what = whole === undefined ? `instance ${instance} of ${service}` : service;
      return `the identity of ${what} was revoked by ${origin.actor} at revision ${origin.revision}`;
    },
    issuedBeforeMs: issuedBefore === undefined ? undefined : Date.parse(issuedBefore),
  };
}
