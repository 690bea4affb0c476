/**
 * A cache of past states: those that were in force or asked for most recently. States share what did not change between
 * them, so that keeping some costs little, and a rollback that is tried before it is done folds the ledger once.
 */

import type { EventLog } from "../events/log.ts";
import type { MeshState } from "../events/state.ts";
import { stateAt } from "../replay/state-at.ts";

const KEPT_MAX = 256;

export class PastStates {
  readonly #log: Pick<EventLog, "read">;
  readonly #checkpoint: (revision: number) => Promise<MeshState | undefined>;
  /** In order of last use. */
  readonly #kept = new Map<number, MeshState>();

  /** @param checkpoint a state at or before a revision, if there is one kept */
  constructor(log: Pick<EventLog, "read">, checkpoint: (revision: number) => Promise<MeshState | undefined>) {
    this.#log = log;
    this.#checkpoint = checkpoint;
  }

  /** Remembers a state, which was folded or is in use. */
  keep(state: MeshState): void {
    this.#kept.delete(state.revision);
    this.#kept.set(state.revision, state);
    for (const revision of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_MAX) break;
      this.#kept.delete(revision);
    }
  }

  /** The state after the change of that revision, which must have come. */
  async at(revision: number): Promise<MeshState> {
    const state = this.#kept.get(revision) ?? (await stateAt(this.#log, revision, await this.#nearest(revision)));
    this.keep(state);
    return state;
  }

  /** Something to start from, as late as possible and not later than `revision`. */
  async #nearest(revision: number): Promise<MeshState | undefined> {
    let nearest = await this.#checkpoint(revision);
    for (const state of this.#kept.values()) {
      if (state.revision <= revision && state.revision > (nearest?.revision ?? 0)) nearest = state;
    }
    return nearest;
  }
}
