/** Which certificates are revoked, though they are valid by themselves. Asked once per connection. */

import { type ServiceRef, serviceRef } from "../../policy/names.ts";
import type { PeerIdentity } from "./svid.ts";

/** Of one service; as a snapshot carries it. */
export interface Revocation {
  readonly namespace: string;
  readonly name: string;
  /** No certificate of the service is believed. */
  readonly whole: boolean;
  /** Certificates whose validity began before this are not: Unix milliseconds. */
  readonly issuedBeforeMs?: number | undefined;
  /** Single certificates, lower-case hex. */
  readonly serials: readonly string[];
  /** Of the last revocation. */
  readonly revision: number;
}

/** Why a certificate is believed no longer, in words; undefined: nothing speaks against it. */
export type RevocationCheck = (peer: PeerIdentity) => string | undefined;

/** Compiled once per snapshot. What is revoked is of `trustDomain`: others' services may bear the same names. */
export function compileRevocations(trustDomain: string, revocations: readonly Revocation[] = []): RevocationCheck {
  if (revocations.length === 0) return () => undefined;
  const byService = new Map<ServiceRef, CompiledRevocation>(
    revocations.map((one) => [serviceRef(one.namespace, one.name), { ...one, serials: new Set(one.serials) }]),
  );
  return (peer) => {
    if (peer.trustDomain !== trustDomain) return undefined;
    const revocation = byService.get(serviceRef(peer.namespace, peer.service));
    return revocation && fault(revocation, peer);
  };
}

type CompiledRevocation = Omit<Revocation, "serials"> & { readonly serials: ReadonlySet<string> };

function fault(revocation: CompiledRevocation, { id, serial, notBeforeMs }: PeerIdentity): string | undefined {
  const { whole, issuedBeforeMs = Number.NEGATIVE_INFINITY, serials, revision } = revocation;
  if (whole) return `${id} is revoked (revision ${revision})`;
  if (serials.has(serial)) return `certificate ${serial} of ${id} is revoked (revision ${revision})`;
  if (notBeforeMs >= issuedBeforeMs) return undefined;
  return `certificate ${serial} of ${id} was issued before the identity was revoked`;
}
