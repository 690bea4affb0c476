/** What `rollback` and `revert` share: what a way back does to access, and who else wrote what it takes back. */

import { describeChange } from "../events/describe.ts";
import { evolve } from "../events/evolve.ts";
import type { MeshState, Origin } from "../events/state.ts";
import { type AccessDifference, accessDiff } from "../replay/access-diff.ts";
import type { UndoneChange } from "../replay/rollback.ts";
import { formatRelative } from "./moment.ts";
import type { Proposal } from "./proposal.ts";
import { safeLine, safeText } from "./safe-text.ts";

/** Changes of others that are told one by one, and characters of each. */
const CHANGES_MAX = 10;
const CHANGE_LENGTH_MAX = 160;

/** Which calls the proposals, carried out together, make possible or end. */
export function accessEffects(before: MeshState, proposals: readonly Proposal[]): AccessDifference[] {
  // Only what the rules say is compared, so it does not matter who is said to have made them.
  const nobody: Origin = { revision: before.revision, actor: "", time: "" };
  const events = proposals.flatMap(({ decided }) => decided.events);
  return accessDiff(
    before,
    events.reduce((state, event) => evolve(state, event, nobody), before),
  );
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
