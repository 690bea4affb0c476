/** `heddle revert`: undoes one change and keeps what came after it. */

import type { Command } from "commander";
import type { RecordedChange } from "../../events/change.ts";
import { type RevertConflict, undoChange } from "../../events/decide-revert.ts";
import { placeIn } from "../../events/decision-plan.ts";
import { describe } from "../../events/describe.ts";
import type { DomainEvent } from "../../events/domain-events.ts";
import { documentOfEvent } from "../../events/event-document.ts";
import { foldChange } from "../../events/evolve.ts";
import type { MeshState } from "../../events/state.ts";
import { type Authorship, blameDocuments } from "../../replay/blame.ts";
import { changeAt } from "../../replay/revision-at.ts";
import { changesUndone } from "../../replay/rollback.ts";
import { Failure } from "../failure.ts";
import type { Moment } from "../input/moment.ts";
import { type ChangeOptions, changeOptions } from "../mesh/change-options.ts";
import { undertake } from "../mesh/change-report.ts";
import { type OperatorContext, withOperator } from "../mesh/context.ts";
import { effects, undoneLines } from "../mesh/going-back.ts";
import { documentHistory } from "../mesh/indexed-ledger.ts";
import { currentState, pastState } from "../mesh/known-mesh.ts";
import { momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { propose } from "../mesh/proposal.ts";
import { note } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";
import { undoingCommand } from "../output/undoing-command.ts";

const HELP = `
Undoes what that change did, field by field and rule by rule, and leaves every later change as it is. Where a later
change wrote the same place, it says which, and nothing happens. \`heddle rollback\` goes back to a moment as a whole.

Examples:
  heddle revert 41 --dry-run
  heddle revert head --reason "wrong weights"
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await changeOptions(command)
    .description("Undo one change, and keep those after it.")
    .argument("<revision>", "as `heddle log` shows it, or head~2", momentOption)
    .addHelpText("after", HELP)
    .action(async (moment: Moment, options: ChangeOptions) => {
      await withOperator(options, (context) => revert(context, moment, options));
    })
    .parseAsync(args, { from: "user" });
}

async function revert(context: OperatorContext, moment: Moment, options: ChangeOptions): Promise<void> {
  const revision = await revisionOf(context.ledger, moment);
  const recorded = await changeAt(context.ledger, revision);
  if (recorded === undefined) throw new Failure(`there is no revision ${revision}: the first one is 1`);
  const { namespace } = recorded;
  const current = await currentState(context);
  requirePolicy(recorded, current);
  await requireUndoable(context, current, recorded);
  const proposals = await propose(context, [{ namespace, body: { kind: "revert", revision } }], options.reason);
  await undertake(context, { proposals, before: current, ...(await effects(context, current, proposals)) }, options);
}

/** Throws `Failure`, saying what would undo it, for a change of something that is no policy. */
function requirePolicy({ revision, change, namespace }: RecordedChange, { namespaces }: MeshState): void {
  const faults = namespaces.get(namespace)?.faults;
  const isUndone = (event: DomainEvent): boolean =>
    documentOfEvent(event) !== undefined || (event.type === "FaultInjected" && faults?.has(event.id) === true);
  const { events } = change.data;
  if (events.some(isUndone)) return;
  const lines = events.map((event) => `  ${safeText(describe(event))}: ${safeText(undoingCommand(event))}`);
  throw new Failure(
    [`nothing was changed: revision ${revision} changed no policy that could be undone`, ...lines].join("\n"),
  );
}

/** Rejects with `Failure`, naming every later change that stands in the way. */
async function requireUndoable(context: OperatorContext, state: MeshState, recorded: RecordedChange): Promise<void> {
  const { namespace, revision } = recorded;
  const before = await pastState(context, revision - 1);
  const undone = undoChange(state, { before, after: foldChange(before, recorded) }, namespace);
  if (undone.ok) return;
  const keys = new Set(undone.error.map(({ key }) => key));
  const history = documentHistory(context, { to: state.revision, namespace }, [...keys]);
  const blame = await blameDocuments(history, keys);
  for (const conflict of undone.error) {
    const known = blame.get(conflict.key);
    const by = known?.removed ?? lastWriter(conflict, (path) => known?.at(path));
    note(`${placeIn(conflict.key, conflict.path)}: ${safeText(by === undefined ? "written again since" : wrote(by))}`);
  }
  const later = await changesUndone(context.ledger.read({ from: revision + 1, namespace }), keys);
  throw new Failure(
    [
      `nothing was changed: revision ${revision} cannot be undone alone, for later changes wrote the same places`,
      ...undoneLines(later, Date.now()),
      `revert those first, or go back as a whole with \`heddle rollback ${revision - 1}\``,
    ].join("\n"),
  );
}

/** Paths of conflicts begin at the document, those of blame at its spec; what is gone is asked of what held it. */
function lastWriter(
  { path }: RevertConflict,
  at: (path: RevertConflict["path"]) => Authorship | undefined,
): Authorship | undefined {
  for (let end = path.length; end >= 1; end--) {
    const by = at(path.slice(1, end));
    if (by !== undefined) return by;
  }
  return at([]);
}

function wrote({ revision, actor, reason }: Authorship): string {
  return `written again by ${actor} at revision ${revision}${reason === "" ? "" : ` ${JSON.stringify(reason)}`}`;
}
