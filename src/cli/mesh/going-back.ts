/** What `rollback` and `revert` share: what a way back does to access, and who else wrote what it takes back. */

import { describeChange } from "../../events/describe.ts";
import { evolve } from "../../events/evolve.ts";
import type { MeshState, Origin } from "../../events/state.ts";
import { type AccessDifference, accessDiff } from "../../replay/access-diff.ts";
import type { UndoneChange } from "../../replay/rollback.ts";
import { type WhatIf, whatIf } from "../../replay/what-if.ts";
import { Failure } from "../failure.ts";
import { formatRelative } from "../input/moment.ts";
import { countsText, flipsText } from "../output/flips-text.ts";
import { note, type Paint, painter } from "../output/output.ts";
import { safeLine, safeText } from "../output/safe-text.ts";
import type { OperatorContext } from "./context.ts";
import type { Proposal } from "./proposal.ts";
import { trafficSince } from "./traffic-input.ts";

/**
 * Calls that count as live: recorded since. Reports come once a minute, so that an hour of a big mesh is read at once.
 */
const LIVE_MS = 3_600_000;
/** Changes of others that are listed one by one, and characters of each. */
const CHANGES_MAX = 10;
const CHANGE_LENGTH_MAX = 160;

/** What a way back does to calls: to those that are possible, and to those that there were of late. */
export interface Effects {
  /** Which calls the proposals, carried out together, make possible or end. */
  readonly access: readonly AccessDifference[];
  /** What they would have made of recorded calls; absent where the traffic ledger cannot be asked. */
  readonly live?: WhatIf;
}

/** What proposals would do to access, and to the calls of the last hour. */
export async function effects(
  context: Pick<OperatorContext, "bus">,
  before: MeshState,
  proposals: readonly Proposal[],
): Promise<Effects> {
  // Only what the rules say is compared, so it does not matter who is said to have made them.
  const nobody: Origin = { revision: before.revision, actor: "", time: "" };
  const events = proposals.flatMap(({ decided }) => decided.events);
  const after = events.reduce((state, event) => evolve(state, event, nobody), before);
  const access = accessDiff(before, after);
  if (events.length === 0) return { access };
  const nowMs = Date.now();
  try {
    const calls = await trafficSince(context, { fromMs: nowMs - LIVE_MS, toMs: nowMs });
    return { access, live: whatIf(calls.calls(), before, after) };
  } catch (error) {
    // A rollback is often urgent: a preview that cannot be had must not stop it.
    if (!(error instanceof Failure)) throw error;
    note(`${painter(process.stderr)("yellow", "note:")} which live calls this touches is not known: ${error.message}`);
    return { access };
  }
}

/** Live calls for people: those of the last hour that would fare otherwise. */
export function liveText({ flips, judged }: WhatIf, paint: Paint): string {
  if (judged === 0) return "live calls: the traffic ledger has none of the last hour\n";
  const head = paint("bold", `of ${judged} live calls of the last hour, ${countsText(flips)}`);
  return `${head}\n${flipsText(flips, paint)}`;
}

/** One line for each change, newest first, with what it did and the documents that are concerned. */
export function undoneLines(undone: readonly UndoneChange[], nowMs: number): string[] {
  const lines = undone.toReversed().map(({ recorded, keys }) => {
    const { revision, change } = recorded;
    const { actor, reason } = change.data;
    const why = reason === "" ? "" : ` ${JSON.stringify(safeText(reason))}`;
    const what = safeLine(describeChange(recorded).join("; "), CHANGE_LENGTH_MAX);
    const when = formatRelative(Date.parse(change.time), nowMs);
    return `  revision ${revision} by ${safeText(actor.name)}, ${when}${why}: ${what} (${keys.join(", ")})`;
  });
  const rest = lines.length - CHANGES_MAX;
  return rest > 0 ? [...lines.slice(0, CHANGES_MAX), `  and ${rest} more`] : lines;
}
