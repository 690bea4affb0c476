/** `heddle show`: one change in full. */

import type { Command } from "commander";
import { FIRST_PREVIOUS, type RecordedChange } from "../../events/change.ts";
import { describe } from "../../events/describe.ts";
import { foldChange } from "../../events/evolve.ts";
import { type SignatureState, signatureState } from "../../events/signature.ts";
import type { MeshState } from "../../events/state.ts";
import { type DocumentDifference, diffStates } from "../../replay/diff.ts";
import { Failure } from "../failure.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { pastState, requireRevision } from "../mesh/known-mesh.ts";
import { momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { eventLine } from "../mesh/proposal.ts";
import { recentChanges } from "../mesh/recent-changes.ts";
import { differenceLines } from "../output/document-lines.ts";
import { type OutputFormat, outputOption, type Paint, painter, print } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface ShowOptions extends ConnectionOptions {
  readonly output: OutputFormat;
}

/** A change and what there was when it came. */
interface Exhibit {
  readonly recorded: RecordedChange;
  readonly before: MeshState;
  /** The change before it in its namespace; undefined for the first. */
  readonly predecessor: { readonly revision: number; readonly hash: string } | undefined;
  readonly documents: readonly DocumentDifference[];
  readonly signature: SignatureState;
}

const SIGNATURES: Readonly<Record<SignatureState, string>> = {
  verified: "verified",
  invalid: "NOT VALID: whoever is named here did not ask for this",
  none: "none: the control plane did this on its own",
};

const HELP = `
Examples:
  heddle show 41
  heddle show head
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(command))
    .description("Show one change in full: who, when, why, what, and each document before and after.")
    .argument("<revision>", "as `heddle log` shows it, or head~2", momentOption)
    .addHelpText("after", HELP)
    .action(async (moment: Moment, options: ShowOptions) => {
      await withOperator(options, async (context) => {
        const exhibit = await exhibitOf(context, await revisionOf(context.ledger, moment));
        print(options.output, exhibitValue(exhibit), () => exhibitText(exhibit, painter(process.stdout), Date.now()));
      });
    })
    .parseAsync(args, { from: "user" });
}

/** Reads the state that the change met, since only against it is known what it changed. */
async function exhibitOf(context: OperatorContext, revision: number): Promise<Exhibit> {
  const { ledger } = context;
  await requireRevision(ledger, revision);
  const [recorded] = revision === 0 ? [] : await Array.fromAsync(ledger.read({ from: revision, to: revision }));
  if (recorded === undefined) throw new Failure(`there is no revision ${revision}: the first one is 1`);
  const { namespace } = recorded;
  const before = await pastState(context, revision - 1);
  const { documents } = diffStates(before, foldChange(before, recorded), { namespace });
  const { value: predecessor } = await recentChanges(ledger, { to: revision - 1, namespace }).next();
  return { recorded, before, predecessor: predecessor ?? undefined, documents, signature: signatureState(recorded) };
}

function exhibitText(exhibit: Exhibit, paint: Paint, nowMs: number): string {
  const { recorded, before, documents, signature } = exhibit;
  const { change, revision, namespace, hash } = recorded;
  const { actor, reason, command } = change.data;
  const key = actor.publicKey === undefined ? "" : ` (${safeText(actor.publicKey)})`;
  const facts = [
    ["who", `${safeText(actor.name)}${key}`],
    ["when", `${safeText(change.time)} (${formatRelative(Date.parse(change.time), nowMs)})`],
    ["why", reason === "" ? paint("dim", "no reason was given") : safeText(reason)],
    ["how", safeText(`${command.kind} ${command.id}`)],
    ["signature", signature === "invalid" ? paint("red", SIGNATURES.invalid) : SIGNATURES[signature]],
    ["hash", hash],
    ["previous", `${safeText(change.data.previous)}${linkText(exhibit, paint)}`],
  ];
  return [
    paint("bold", `revision ${revision} in ${safeText(namespace)}`),
    ...facts.map(([name, value]) => `${paint("dim", (name ?? "").padEnd(10))} ${value}`),
    "",
    ...change.data.events.map((event) => eventLine(event, paint, before)),
    ...documents.flatMap((difference) => ["", ...differenceLines(difference, paint)]),
  ].join("\n");
}

/** Whether the change names the one before it, as everything in a chain that nobody tampered with does. */
function isLinked({ recorded, predecessor }: Exhibit): boolean {
  return recorded.change.data.previous === (predecessor?.hash ?? FIRST_PREVIOUS);
}

function linkText(exhibit: Exhibit, paint: Paint): string {
  const { predecessor } = exhibit;
  if (isLinked(exhibit)) return predecessor === undefined ? " (the first)" : ` (revision ${predecessor.revision})`;
  const stands = predecessor === undefined ? "nothing stands before it" : `revision ${predecessor.revision} is another`;
  return paint("red", ` BROKEN: ${stands}`);
}

function exhibitValue(exhibit: Exhibit): unknown {
  const { recorded, predecessor, documents, signature } = exhibit;
  const { change, revision, namespace, hash } = recorded;
  const { actor, reason, command, previous, events } = change.data;
  return {
    revision,
    namespace,
    time: change.time,
    actor,
    reason,
    command,
    signature,
    hash,
    previous,
    previousRevision: predecessor?.revision ?? null,
    chainIntact: isLinked(exhibit),
    lines: events.map(describe),
    events,
    documents: documents.map(({ key, change: kind, before, after }) => ({
      key,
      change: kind,
      before: before?.document ?? null,
      after: after?.document ?? null,
    })),
  };
}
