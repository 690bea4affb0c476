/**
 * Clears injected faults when their time is over. When that is stands in the ledger, so that a replica which was away
 * meanwhile makes up for it; that several clear the same one, the ledger's conditional append prevents.
 */

import { sha256Hex } from "../events/chain.ts";
import { SYSTEM_ACTOR } from "../events/commands.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import type { MeshState } from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Ledger } from "./ledger.ts";
import { repeat } from "./periodic.ts";

/** Between two looks at the clock. */
const LOOK_EVERY_MS = 500;

export interface FaultExpiryOptions {
  readonly ledger: Pick<Ledger, "latest" | "append">;
  readonly state: () => MeshState;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** A new unique id. */
  readonly newId: () => string;
  readonly logger: Logger;
}

export class FaultExpiry {
  readonly #options: FaultExpiryOptions;

  constructor(options: FaultExpiryOptions) {
    this.#options = options;
  }

  /** Looks from time to time, until what is returned is called. */
  start(): () => Promise<void> {
    return repeat(LOOK_EVERY_MS, () => this.#look());
  }

  async #look(): Promise<void> {
    const { ledger, state, now, logger } = this.#options;
    if (expiredFaults(state(), now()).size === 0) return;
    try {
      // Decided on the state that the append is conditional upon.
      const latest = await ledger.latest();
      for (const [namespace, events] of expiredFaults(latest, now())) await this.#clear(latest, namespace, events);
    } catch (error) {
      logger.error({ err: error }, "faults whose time is over could not be cleared: they are tried again");
    }
  }

  async #clear(state: MeshState, namespace: string, events: DomainEvent[]): Promise<void> {
    const { ledger, newId, logger } = this.#options;
    const command = { kind: "fault-clear", id: newId(), digest: sha256Hex(canonicalJson(events)) };
    const draft = { actor: { name: SYSTEM_ACTOR }, reason: "", command, events };
    const appended = await ledger.append(state, namespace, draft);
    // Otherwise something else happened in the namespace; the next look sees what is left to do.
    if (appended.ok) logger.info({ revision: appended.value.revision, namespace }, "injected faults have ended");
  }
}

/** By namespace, what is to be recorded of the faults whose time is over. */
function expiredFaults({ namespaces }: MeshState, nowMs: number): Map<string, DomainEvent[]> {
  const expired = new Map<string, DomainEvent[]>();
  for (const [namespace, { faults }] of namespaces) {
    const over = [...faults].filter(([, { expiresAt }]) => expiresAt !== undefined && Date.parse(expiresAt) <= nowMs);
    if (over.length === 0) continue;
    const events = over.map(([id, { service }]): DomainEvent => {
      return { type: "FaultCleared", namespace, service, id, expired: true };
    });
    expired.set(namespace, events);
  }
  return expired;
}
