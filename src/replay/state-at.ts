/** The mesh as it was. */

import { fold } from "../events/evolve.ts";
import type { EventLog } from "../events/log.ts";
import { INITIAL_STATE, type MeshState } from "../events/state.ts";

/**
 * The state after the change of that revision; as of the end of the log where the revision has not come yet (compare
 * the result's own `revision`).
 * @param checkpoint a state of an earlier revision to start from; one that is later is of no use and left aside.
 * @throws LogCorruption, as reading the log does.
 */
export async function stateAt(
  log: Pick<EventLog, "read">,
  revision: number,
  checkpoint: MeshState = INITIAL_STATE,
): Promise<MeshState> {
  const start = checkpoint.revision <= revision ? checkpoint : INITIAL_STATE;
  if (start.revision >= revision) return start;
  return fold(start, log.read({ from: start.revision + 1, to: revision }));
}
