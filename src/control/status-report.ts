/** What `heddle status` is told: every service with what it should enforce, every instance with what it does. */

import { placeIn } from "../events/decision-plan.ts";
import { documentsOf, serviceOfDocument } from "../events/documents.ts";
import type { MeshState } from "../events/state.ts";
import { documentNamespace } from "../policy/document-key.ts";
import { notEnforced } from "../policy/enforcement.ts";
import { MESH_NAMESPACE, type ServiceRef, serviceRef } from "../policy/names.ts";
import type { StatusReply } from "./protocol.ts";
import type { Roster } from "./roster.ts";

export interface StatusSources {
  readonly state: MeshState;
  readonly expectedRevision: (service: ServiceRef) => number | undefined;
  readonly roster: Roster;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

export function statusReport({ state, expectedRevision, roster, nowMs }: StatusSources): StatusReply {
  const gaps = gapsByService(state);
  const services: StatusReply["services"] = [];
  for (const [namespace, { services: declared }] of byName(state.namespaces)) {
    for (const [name] of byName(declared)) {
      const ref = serviceRef(namespace, name);
      const expected = expectedRevision(ref) ?? 0;
      services.push({ namespace, name, expectedRevision: expected, notEnforced: gaps.get(ref) ?? [] });
    }
  }
  const instances = [...roster.entries()].sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    revision: state.revision,
    services,
    instances: instances.map((entry) => ({
      status: entry.status,
      silentMs: Math.max(0, nowMs - entry.heardMs),
      connected: roster.isConnected(entry, nowMs),
    })),
  };
}

/** Places in documents that have no effect in this version, by the service that they are about. */
function gapsByService(state: MeshState): Map<ServiceRef, string[]> {
  const gaps = new Map<ServiceRef, string[]>();
  for (const { document } of documentsOf(state)) {
    const service = serviceOfDocument(document);
    const namespace = documentNamespace(document);
    if (service === undefined || namespace === MESH_NAMESPACE) continue;
    const places = notEnforced([document]).map(({ key, path }) => placeIn(key, path));
    const ref = serviceRef(namespace, service);
    if (places.length > 0) gaps.set(ref, [...(gaps.get(ref) ?? []), ...places]);
  }
  return gaps;
}

function byName<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
