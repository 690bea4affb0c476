/**
 * What differs between two states in whom sidecars believe: identities that are revoked, other trust domains, roots.
 */

import { describe } from "../events/describe.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import type { IdentityRevocation, MeshState, RootRotation } from "../events/state.ts";
import { sameValue } from "../policy/canonical.ts";

type Identity = Pick<
  Extract<DomainEvent, { type: "IdentityRevoked" }>,
  "namespace" | "service" | "serial" | "instance"
>;

/** The identities that are revoked in one of the states and not in the other; with a namespace, of that one alone. */
export function revocationLines(before: MeshState, after: MeshState, only: string | undefined): string[] {
  const namespaces = keysOf(before.namespaces, after.namespaces).filter((name) => only === undefined || name === only);
  return namespaces.flatMap((namespace) => {
    const [was, is] = [before, after].map((state) => state.namespaces.get(namespace)?.revocations ?? new Map());
    return keysOf(was ?? new Map(), is ?? new Map()).flatMap((service) => {
      const change = { namespace, service, isLater: after.revision >= before.revision };
      return identityLines(was?.get(service), is?.get(service), change);
    });
  });
}

interface IdentityChange {
  readonly namespace: string;
  readonly service: string;
  /** The second state is the later one. */
  readonly isLater: boolean;
}

function identityLines(
  was: IdentityRevocation | undefined,
  is: IdentityRevocation | undefined,
  { namespace, service, isLater }: IdentityChange,
): string[] {
  const revoked = (identity: Partial<Identity> = {}): string =>
    describe({ type: "IdentityRevoked", namespace, service, ...identity });
  /** Of an earlier state: it had not come to that. */
  const notYet = (identity: Partial<Identity> = {}): string =>
    revoked(identity).replace(/^revoked (.*)$/, "$1 had not been revoked");
  const reinstated = (identity: Partial<Identity> = {}): string =>
    isLater ? describe({ type: "IdentityReinstated", namespace, service, ...identity }) : notYet(identity);
  const lines: string[] = [];
  if (was?.whole === undefined && is?.whole !== undefined) lines.push(revoked());
  else if (was?.whole !== undefined && is?.whole === undefined) lines.push(reinstated());
  else if (is?.whole === undefined && is?.issuedBefore !== undefined && was?.issuedBefore !== is.issuedBefore) {
    lines.push(`certificates of ${namespace}/${service} from before ${is.issuedBefore} are refused`);
  }
  for (const serial of keysOf(was?.serials, is?.serials)) {
    if (was?.serials.has(serial) !== true) lines.push(revoked({ serial }));
    // What is forgotten later has ended by itself, or is covered by the service's own revocation.
    else if (is?.serials.has(serial) !== true && !isLater) lines.push(notYet({ serial }));
  }
  for (const instance of keysOf(was?.instances, is?.instances)) {
    if (was?.instances.has(instance) !== true) lines.push(revoked({ instance }));
    else if (is?.instances.has(instance) !== true) lines.push(reinstated({ instance }));
  }
  return lines;
}

/** The other trust domains that are trusted in one of the states only, or by other roots. */
export function federationLines(before: MeshState, after: MeshState): string[] {
  return keysOf(before.federation, after.federation).flatMap((trustDomain) => {
    const [was, is] = [before.federation.get(trustDomain), after.federation.get(trustDomain)];
    if (is === undefined) return [describe({ type: "FederationEnded", trustDomain })];
    if (sameValue(was?.roots ?? null, is.roots)) return [];
    return [describe({ type: "FederationTrusted", trustDomain, roots: [...is.roots] })];
  });
}

/** What became of each root, and of the rotation, in words. */
export function rootLines(before: MeshState, after: MeshState): string[] {
  const roots = keysOf(before.roots, after.roots).flatMap((fingerprint) => {
    const [was, is] = [before.roots.get(fingerprint)?.status, after.roots.get(fingerprint)?.status];
    return was === is ? [] : [`root ${fingerprint.slice(0, 12)}: ${was ?? "unknown"} → ${is ?? "unknown"}`];
  });
  const [was, is] = [rotationText(before.rotation), rotationText(after.rotation)];
  return was === is ? roots : [...roots, `change of roots: ${was} → ${is}`];
}

function rotationText(rotation: RootRotation | undefined): string {
  if (rotation === undefined) return "none";
  return `${rotation.from.slice(0, 12)} is being replaced${rotation.paused ? ", paused" : ""}`;
}

function keysOf(a: ReadonlyMap<string, unknown> | undefined, b: ReadonlyMap<string, unknown> | undefined): string[] {
  return [...new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])])];
}
