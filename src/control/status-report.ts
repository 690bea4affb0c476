/** What `heddle status` is told: every service with what it should enforce, every instance with what it does. */

import { placeIn } from "../events/decision-plan.ts";
import { documentsOf } from "../events/documents.ts";
import type { MeshState } from "../events/state.ts";
import { notEnforced } from "../policy/enforcement.ts";
import { type ServiceRef, serviceRef } from "../policy/names.ts";
import type { InstanceRegistry } from "../projections/endpoints.ts";
import { sortedEntries } from "../projections/state-codec.ts";
import type { StatusReply } from "./protocol.ts";
import type { Roster } from "./roster.ts";

export interface StatusSources {
  readonly state: MeshState;
  readonly expectedRevision: (service: ServiceRef) => number | undefined;
  readonly roster: Roster;
  readonly registry: Pick<InstanceRegistry, "rivalsOf">;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

/** Services and instances by name, so that every replica lists them alike. */
export function statusReport({ state, expectedRevision, roster, registry, nowMs }: StatusSources): StatusReply {
  const services: StatusReply["services"] = [];
  for (const [namespace, { services: declared }] of sortedEntries(state.namespaces)) {
    for (const [name] of sortedEntries(declared)) {
      const ref = serviceRef(namespace, name);
      const expected = expectedRevision(ref) ?? 0;
      services.push({ namespace, name, expectedRevision: expected });
    }
  }
  const documents = documentsOf(state).map(({ document }) => document);
  const instances = [...roster.entries()].sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    revision: state.revision,
    services,
    notEnforced: notEnforced(documents).map(({ key, path }) => placeIn(key, path)),
    instances: instances.map((entry) => {
      const { service, status } = entry;
      const rivals = registry.rivalsOf(service, status.instance, nowMs);
      return {
        status,
        silentMs: Math.max(0, nowMs - entry.heardMs),
        connected: roster.isConnected(entry, nowMs),
        ...(rivals.length === 0 ? {} : { rivals }),
      };
    }),
  };
}
