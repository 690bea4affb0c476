/** How a command line names a moment of the mesh, and which revision was in force then. */

import { type Command, InvalidArgumentError } from "commander";
import type { EventLog } from "../../events/log.ts";
import { revisionAt } from "../../replay/revision-at.ts";
import { Failure } from "../failure.ts";
import { type Moment, parseMoment } from "../input/moment.ts";
import { requireRevision } from "./known-mesh.ts";

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

/**
 * The revision in force at a moment; the last one where none is given. Rejects with `Failure` for one that has not come
 * yet, or lies before the first.
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
    case "time":
      return revisionAt(ledger, moment.timeMs);
    case "head": {
      const revision = (await ledger.lastRevision()) - moment.back;
      if (revision < 0) throw new Failure(`there are fewer than ${moment.back} changes`);
      return revision;
    }
  }
}
