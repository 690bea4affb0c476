/** What differs between two states in what no document says: operators, join tokens, faults, and trust. In words only. */

import { describe, tokenId } from "../events/describe.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import type { JoinToken, MeshState } from "../events/state.ts";
import { sameValue } from "../policy/canonical.ts";
import { MESH_NAMESPACE } from "../policy/names.ts";
import { federationLines, revocationLines, rootLines } from "./trust-diff.ts";

/**
 * Sentences as `describe` has them where the later state is the one that is compared with, and otherwise what had not
 * happened yet. With a namespace, only what belongs to it.
 */
export function administrativeLines(before: MeshState, after: MeshState, namespace: string | undefined): string[] {
  const own = [
    ...tokenLines(before, after, namespace),
    ...faultLines(before, after, namespace),
    ...revocationLines(before, after, namespace),
  ];
  if (namespace !== undefined && namespace !== MESH_NAMESPACE) return own;
  return [
    ...meshLines(before, after),
    ...operatorLines(before, after),
    ...own,
    ...rootLines(before, after),
    ...federationLines(before, after),
  ];
}

/** Of what differs, what a way back to the earlier state leaves as it is: whoever was shut out stays so. */
export function standingLines(before: MeshState, after: MeshState, namespace: string | undefined): string[] {
  const revoked = revocationLines(before, after, namespace);
  if (namespace !== undefined && namespace !== MESH_NAMESPACE) return revoked;
  return [...operatorLines(before, after), ...revoked, ...rootLines(before, after), ...federationLines(before, after)];
}

function meshLines(before: MeshState, after: MeshState): string[] {
  return before.mesh !== undefined && after.mesh === undefined ? ["the mesh had not been declared"] : [];
}

function operatorLines(before: MeshState, after: MeshState): string[] {
  return keysOf(before.operators, after.operators).flatMap((key) => {
    const [was, is] = [before.operators.get(key), after.operators.get(key)];
    if (was === undefined && is !== undefined) {
      if (before.revokedKeys.has(key)) return [`operator ${is.name} had not been revoked`];
      return [describe({ type: "OperatorAdded", ...is, namespaces: [...is.namespaces] })];
    }
    if (was !== undefined && is === undefined) {
      if (!after.revokedKeys.has(key)) return [`operator ${was.name} had not been added`];
      return [describe({ type: "OperatorRevoked", name: was.name, publicKey: key })];
    }
    if (was === undefined || is === undefined || sameValue(was, is)) return [];
    return [`changed operator ${is.name} from ${was.role} to ${is.role}`];
  });
}

function tokenLines(before: MeshState, after: MeshState, namespace: string | undefined): string[] {
  return keysOf(before.tokens, after.tokens).flatMap((key) => {
    const [was, is] = [before.tokens.get(key), after.tokens.get(key)];
    const token = is ?? was;
    if (token === undefined || (namespace !== undefined && token.namespace !== namespace)) return [];
    if (was === undefined) {
      if (before.revokedKeys.has(key)) return [`${tokenName(token)} had not been revoked`];
      return [describe(created(token))];
    }
    if (is === undefined) {
      if (after.revokedKeys.has(key)) return [describe({ type: "TokenRevoked", ...about(token) })];
      // Forgotten some time after its end, or not there yet.
      return [`${tokenName(token)} ${after.revision > before.revision ? "has ended" : "had not been created"}`];
    }
    if (was.instances.length === is.instances.length) return [];
    return [`${tokenName(token)}: ${was.instances.length} → ${is.instances.length} instances joined`];
  });
}

function faultLines(before: MeshState, after: MeshState, namespace: string | undefined): string[] {
  const [was, is] = [faultsOf(before, namespace), faultsOf(after, namespace)];
  return keysOf(was, is).flatMap((key) => {
    const [former, fault] = [was.get(key), is.get(key)];
    if (former === undefined && fault !== undefined) return [describe(fault)];
    if (former === undefined || fault !== undefined) return [];
    const { namespace, service, id } = former;
    return [describe({ type: "FaultCleared", namespace, service, id })];
  });
}

type FaultInjected = Extract<DomainEvent, { type: "FaultInjected" }>;

function faultsOf({ namespaces }: MeshState, only: string | undefined) {
  const faults = [...namespaces].flatMap(([namespace, { faults }]) =>
    only !== undefined && only !== namespace
      ? []
      : Array.from(faults, ([id, { origin: _, ...fault }]): [string, FaultInjected] => {
          return [`${namespace} ${id}`, { type: "FaultInjected", namespace, id, ...fault }];
        }),
  );
  return new Map(faults);
}

function about({ namespace, service, publicKey }: JoinToken) {
  return { namespace, service, publicKey };
}

function created(token: JoinToken) {
  const { expiresAt, usesMax } = token;
  const terms = { ...(expiresAt === undefined ? {} : { expiresAt }), ...(usesMax === undefined ? {} : { usesMax }) };
  return { type: "TokenCreated", ...about(token), ...terms } as const;
}

function tokenName({ namespace, service, publicKey }: JoinToken): string {
  return `join token ${tokenId(publicKey)} of ${namespace}/${service}`;
}

function keysOf(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): string[] {
  return [...new Set([...a.keys(), ...b.keys()])];
}
