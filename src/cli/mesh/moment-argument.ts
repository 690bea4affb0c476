/** How a command line names a moment of the mesh, and which revision was in force then. */

import { type Command, InvalidArgumentError } from "commander";
import type { EventLog } from "../../events/log.ts";
import type { MeshState } from "../../events/state.ts";
import { changeAt, revisionAt } from "../../replay/revision-at.ts";
import { Failure } from "../failure.ts";
import { type Moment, parseMoment } from "../input/moment.ts";
import { note } from "../output/output.ts";
import type { OperatorContext } from "./context.ts";
import { pastState, requireRevision } from "./known-mesh.ts";

/** What the commands that take a moment say about it. */
export const MOMENT_HELP =
  "A moment is a revision (41), head~2, a time ago (90m, 2d) or a time (2026-03-01T12:00:00Z).";

/** Adds `--at`, which comes out as a `Moment`. */
export function atOption(command: Command): Command {
  return command.option("--at <moment>", "as it was then: a revision, a time ago or a time", momentOption);
}

/** Reads a moment, for commander. */
export function momentOption(text: string): Moment {
  const moment = parseMoment(text, Date.now());
  if (moment.ok) return moment.value;
  throw new InvalidArgumentError(`It ${moment.error}.`);
}

/** Clocks differ: what is now here may be a little later there. */
const CLOCK_SKEW_MS = 60_000;

/**
 * The revision in force at a moment; the last one where none is given, and 0 before the first. Rejects with `Failure` for
 * a moment that has not come yet.
 */
export async function revisionOf(
  ledger: Pick<EventLog, "read" | "lastRevision">,
  moment: Moment | undefined,
): Promise<number> {
  switch (moment?.kind) {
    case undefined:
      return ledger.lastRevision();
    case "revision":
      await requireRevision(ledger, moment.revision);
      return moment.revision;
    case "time": {
      const { timeMs } = moment;
      if (timeMs > Date.now() + CLOCK_SKEW_MS) throw new Failure(`${new Date(timeMs).toISOString()} has not come yet`);
      const revision = await revisionAt(ledger, timeMs);
      if (revision === 0) note(`${new Date(timeMs).toISOString()} is before the first change: there was nothing yet`);
      return revision;
    }
    case "head": {
      const revision = (await ledger.lastRevision()) - moment.back;
      if (revision < 0) throw new Failure(`there are fewer than ${moment.back} changes`);
      return revision;
    }
  }
}

/** The mesh as of a moment, and when that was, in milliseconds since 1970: now where no moment is given. */
export async function meshAt(
  context: Pick<OperatorContext, "bus" | "ledger">,
  moment: Moment | undefined,
): Promise<{ readonly state: MeshState; readonly timeMs: number }> {
  const { ledger } = context;
  const revision = await revisionOf(ledger, moment);
  const state = await pastState(context, revision);
  if (moment === undefined) return { state, timeMs: Date.now() };
  if (moment.kind === "time") return { state, timeMs: moment.timeMs };
  const recorded = await changeAt(ledger, revision);
  return { state, timeMs: recorded === undefined ? 0 : Date.parse(recorded.change.time) };
}
