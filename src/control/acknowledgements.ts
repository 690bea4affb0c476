/**
 * Which instances have not yet taken up what every one must have before a rotation may take its next step. Stricter
 * than convergence, which does not wait for instances that are away: one that is merely out of reach at the moment
 * would be cut off when it comes back.
 */

import type { InstanceRegistry } from "../projections/endpoints.ts";
import type { SnapshotPublisher } from "../projections/snapshot-store.ts";
import type { RotationReply } from "./protocol.ts";
import { instanceKey, type Roster, type RosterEntry, unheardInstances } from "./roster.ts";

export interface AcknowledgementOptions {
  readonly roster: Roster;
  readonly registry: Pick<InstanceRegistry, "services" | "endpointsOf">;
  readonly publisher: Pick<SnapshotPublisher, "expectedRevision">;
  /**
   * Silence after which an instance counts as dead; a replica that has listened for less may not have heard everybody.
   */
  readonly ttlMs: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export type Unacknowledged = RotationReply["waiting"][number];

export interface Requirement {
  /** The least revision that must be enforced. */
  readonly revision: number;
  /** Fingerprint of the root that the instance's certificate must lead to. */
  readonly root?: string;
}

export class Acknowledgements {
  readonly #options: AcknowledgementOptions;
  #listeningSinceMs: number;

  constructor(options: AcknowledgementOptions) {
    this.#options = options;
    this.#listeningSinceMs = options.now();
  }

  /** We could not hear: what we do not know of may be there. */
  listenAnew(): void {
    this.#listeningSinceMs = this.#options.now();
  }

  /**
   * Every instance that is known and not there yet, in words. One that has fallen silent counts until it is forgotten;
   * one without a snapshot, whose service is not declared, carries no traffic and does not.
   */
  missing(requirement: Requirement): Unacknowledged[] {
    const { roster, registry, publisher, now, ttlMs } = this.#options;
    if (now() - this.#listeningSinceMs < ttlMs) {
      return [{ instance: "*", service: "*", why: "this control replica has only just begun to listen" }];
    }
    const missing: Unacknowledged[] = [];
    for (const entry of roster.entries()) {
      if (publisher.expectedRevision(entry.service) === undefined) continue;
      const why = this.#fault(entry, requirement);
      if (why !== undefined) missing.push({ instance: entry.status.instance, service: entry.service, why });
    }
    for (const { service, instance } of unheardInstances(roster, registry)) {
      missing.push({ instance, service, why: "has not been heard since this control replica started" });
    }
    return missing;
  }

  #fault({ service, status, heardMs }: RosterEntry, { revision, root }: Requirement): string | undefined {
    const { roster, now } = this.#options;
    const away = `not heard for ${Math.round((now() - heardMs) / 1_000)} s`;
    const key = instanceKey(service, status.instance);
    const entry = roster.get(key);
    const suffix = entry !== undefined && !roster.isConnected(entry, now()) ? `, ${away}` : "";
    if (status.revision < revision) return `enforces ${status.revision}, should ${revision}${suffix}`;
    if (root === undefined || status.certificateRoot === root) return undefined;
    if (status.certificateExpiry === undefined) return undefined;
    return `its certificate is not under the new root yet${suffix}`;
  }
}
