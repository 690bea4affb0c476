/** What a read model is: a fold with a name and a version. The runner owns everything else. */

import type { RecordedChange } from "../events/change.ts";
import { foldChange } from "../events/evolve.ts";
import { OwnedMaps } from "../events/maps.ts";
import { INITIAL_STATE, type MeshState } from "../events/state.ts";

/** A fold of the ledger. */
export interface Projection<S> {
  /** A NATS subject token: part of the checkpoint's key. */
  readonly name: string;
  /** Grows whenever `evolve` would make another state of the same history: older checkpoints are then not taken up. */
  readonly version: number;
  readonly initial: S;
  /** Pure; total over the event vocabulary. */
  evolve(state: S, change: RecordedChange): S;
  /** The same for a stretch of history of which only the last state is kept; absent: `evolve` will do. */
  folder?(): (state: S, change: RecordedChange) => S;
}

/** The mesh as its history left it: what snapshots are compiled from. */
export const meshProjection = {
  name: "mesh",
  version: 8,
  initial: INITIAL_STATE,
  evolve: (state, change) => foldChange(state, change),
  folder() {
    const maps = new OwnedMaps();
    return (state, change) => foldChange(state, change, maps);
  },
} satisfies Projection<MeshState>;
