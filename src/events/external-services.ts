/** Services of other meshes whose trust domains are not trusted: nobody could prove to be one of them. */

import { type ServiceRef, serviceRef } from "../policy/names.ts";
import { parseExternalIdentity } from "../policy/schema.ts";
import type { DomainEvent } from "./domain-events.ts";
import { MESH_DEFAULTS, type MeshState } from "./state.ts";

/** Why a service cannot be called, in words; undefined where it is ours, or of a trust domain that is trusted. */
export function distrust(
  { mesh, federation, namespaces }: MeshState,
  namespace: string,
  name: string,
): string | undefined {
  const { external } = namespaces.get(namespace)?.services.get(name)?.value ?? {};
  const domain = external && parseExternalIdentity(external.identity)?.trustDomain;
  const own = mesh?.value.trustDomain ?? MESH_DEFAULTS.trustDomain;
  if (domain === undefined || domain === own || federation.has(domain)) return undefined;
  return `${serviceRef(namespace, name)} is of ${domain}, which is not trusted`;
}

/** All of them, in words. */
export function untrustedExternals(state: MeshState): string[] {
  return [...state.namespaces].flatMap(([namespace, { services }]) =>
    [...services.keys()].flatMap((name) => distrust(state, namespace, name) ?? []),
  );
}

/** Warnings for those that the events declare or change. */
export function distrustWarnings(state: MeshState, events: readonly DomainEvent[]): string[] {
  const touched = new Map<ServiceRef, { readonly namespace: string; readonly name: string }>();
  for (const event of events) {
    if (event.type !== "ServiceDeclared" && event.type !== "ServiceExternalSet") continue;
    touched.set(serviceRef(event.namespace, event.name), event);
  }
  return [...touched.values()].flatMap(({ namespace, name }) => {
    const found = distrust(state, namespace, name);
    return found === undefined ? [] : [`${found}: calls fail until it is (heddle ca federate)`];
  });
}
