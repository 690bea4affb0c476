/** Which mode of mutual TLS holds at the ports of a service, and changes of it that cannot be made without a gap. */

import { type ServiceRef, serviceRef } from "../policy/names.ts";
import type { MtlsMode, ServiceSpec } from "../policy/schema.ts";
import { itemList } from "./item-list.ts";
import { MESH_DEFAULTS, type MeshState } from "./state.ts";

/** By port number: what is said closest to it. */
export function mtlsModes(state: MeshState, namespace: string, service: ServiceSpec): Map<number, MtlsMode> {
  // Between meshes nobody is believed without a certificate.
  if (service.external !== undefined) return new Map(service.ports.map(({ port }) => [port, "strict"]));
  const inherited = service.mtls ?? namespaceMode(state, namespace);
  return new Map(service.ports.map(({ port, mtls = inherited }) => [port, mtls]));
}

function namespaceMode({ mesh }: MeshState, namespace: string): MtlsMode {
  const namespaces = mesh?.value.namespaces ?? {};
  const own = Object.hasOwn(namespaces, namespace) ? namespaces[namespace] : undefined;
  return own?.mtls ?? mesh?.value.mtls ?? MESH_DEFAULTS.mtls;
}

/**
 * Warnings where a port goes from strict to disabled or back: sidecars take up a change one after the other, and
 * between one that has and one that has not, neither accepts what the other sends.
 */
export function mtlsLeaps(before: MeshState, after: MeshState): string[] {
  const leaping = new Set<ServiceRef>();
  for (const [namespace, { services }] of after.namespaces) {
    const former = before.namespaces.get(namespace);
    // State is shared where nothing has changed, so that this costs nothing for most changes.
    if (former === undefined || (before.mesh === after.mesh && former.services === services)) continue;
    for (const [name, { value }] of services) {
      const known = former.services.get(name);
      if (known !== undefined && leaps(mtlsModes(before, namespace, known.value), mtlsModes(after, namespace, value))) {
        leaping.add(serviceRef(namespace, name));
      }
    }
  }
  if (leaping.size === 0) return [];
  return [
    `mutual TLS of ${itemList([...leaping])} goes between strict and disabled in one step: callers may be turned away for as long as the change spreads; going by way of permissive turns nobody away`,
  ];
}

function leaps(before: ReadonlyMap<number, MtlsMode>, after: ReadonlyMap<number, MtlsMode>): boolean {
  return [...after].some(([port, mode]) => {
    const former = before.get(port);
    return former !== undefined && former !== mode && former !== "permissive" && mode !== "permissive";
  });
}
