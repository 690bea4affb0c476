/** The ledger as a replica has it in memory: the state now, states that went by, and checkpoints along history. */

import type { RecordedChange } from "../events/change.ts";
import type { EventLog } from "../events/log.ts";
import type { MeshState } from "../events/state.ts";
import type { Bucket } from "../nats/bus.ts";
import { HISTORY_EVERY, HistoryKeeper, nearestCheckpoint } from "../projections/history-checkpoints.ts";
import type { Projection } from "../projections/projection.ts";
import { type RunningProjection, runProjection } from "../projections/runner.ts";
import { meshStateCodec } from "../projections/state-codec.ts";
import { changeIndex, changeIndexCodec } from "../replay/change-index.ts";
import { CLOCK_TOLERANCE_MS } from "./admission.ts";
import { PastStates } from "./past-states.ts";
import { RecentCommands } from "./recent-commands.ts";

export interface LedgerFoldOptions {
  readonly log: EventLog;
  /** `CHECKPOINT_BUCKET`, for values of any size. */
  readonly checkpoints: Bucket;
  readonly projection: Projection<MeshState>;
  /** Told of each change that comes after the start. Must not throw. */
  readonly onChange: (before: MeshState, after: MeshState, change: RecordedChange) => void;
  /** Told, in words, of what went wrong and was survived. */
  readonly warn: (message: string) => void;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface LedgerFold {
  readonly projection: RunningProjection<MeshState>;
  readonly past: PastStates;
  /** The commands of late, so that none counts twice. */
  readonly recent: RecentCommands;
}

/** Resolves when the ledger is folded to its end; it is followed until the stack is unwound. */
export async function foldLedger(options: LedgerFoldOptions, stack: AsyncDisposableStack): Promise<LedgerFold> {
  const { log, checkpoints, onChange, warn, random } = options;
  const source = { log, bucket: checkpoints, projection: options.projection, codec: meshStateCodec, warn };
  const recent = new RecentCommands(2 * CLOCK_TOLERANCE_MS);
  const past = new PastStates(log, async (revision) => (await nearestCheckpoint(source, revision))?.state);
  const history = new HistoryKeeper(source);
  stack.defer(() => history.stop());
  const index = new HistoryKeeper({ ...source, projection: changeIndex(), codec: changeIndexCodec });
  stack.defer(() => index.stop());
  const projection = await runProjection({
    log,
    projection: options.projection,
    checkpoints: { bucket: checkpoints, codec: meshStateCodec },
    onChange: (before, after, change) => {
      recent.recorded(change);
      past.keep(after);
      history.recorded(after, change);
      // What the stretch holds is folded when it is complete.
      if (change.revision % HISTORY_EVERY === 0) index.start();
      onChange(before, after, change);
    },
    warn,
    random,
  });
  stack.defer(() => projection.stop());
  history.start();
  index.start();
  return { projection, past, recent };
}
