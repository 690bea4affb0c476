/** `heddle verify`: proves that the ledger, or an export of it, is what was written. */

import { type Command, InvalidArgumentError } from "commander";
import { formatMark, type LedgerMark, parseMark } from "../../events/ledger-mark.ts";
import { openDirectory } from "../../nats/directory.ts";
import type { NotedLedger, ProvedPart } from "../../replay/verify.ts";
import { EXIT_FAILED, Failure, UsageError } from "../failure.ts";
import { formatRelative } from "../input/moment.ts";
import { type ConnectionOptions, connectionOptions, directoryPath, withOperator } from "../mesh/context.ts";
import { type LedgerProof, proveExport, proveLedger, proveTail, readExport } from "../mesh/ledger-proof.ts";
import { type RememberedLedger, recallLedger, rememberLedger } from "../mesh/remembered-ledger.ts";
import { type OutputFormat, outputOption, painter, print } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface VerifyOptions extends ConnectionOptions {
  readonly head?: readonly LedgerMark[];
  readonly tail?: true;
  readonly output: OutputFormat;
}

const HELP = `
Checks that every change names the one before it in its namespace and none is missing, that each is signed by an operator
who could make it and says what was signed, and that the ledger still begins with all that it held when it was last
verified. What it comes to is noted in the directory (verified.json) for the next time, and printed as a head, such as
41:9f86d081…: keep that elsewhere, and give it with --head. With FILE, an export is checked instead, without a mesh.

All of it is read each time. With --tail, only what came since it was last verified here: of what lies before, the first
change and the last of each namespace have to be those of then, and what is between them is not looked at.

Examples:
  heddle verify
  heddle verify ledger.jsonl --head 41:9f86d081884c7d65
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(command))
    .description("Prove that the ledger, or an export of it, is what was written.")
    .argument("[file]", "an export (- is the standard input); the mesh's own ledger without it")
    .option("--head <head>", "a head that was noted earlier; may be repeated", collectMark)
    .option("--tail", "only what came since it was last verified from this directory")
    .addHelpText("after", HELP)
    .action(async (file: string | undefined, options: VerifyOptions) => {
      const directory = (await openDirectory(directoryPath(options.dir)))?.path;
      const remembered = directory === undefined ? undefined : await recallLedger(directory);
      const noted = (first: string): NotedLedger[] => [
        ...(options.head ?? []).map((mark) => ({ mark })),
        ...(remembered?.first === first || file === undefined ? [remembered ?? []].flat() : []),
      ];
      const skipped = options.tail === true ? skippedPart(file, options.head ?? [], remembered) : undefined;
      const proof = await (file !== undefined
        ? proveExport(await readExport(file), noted)
        : withOperator(options, (context) =>
            skipped === undefined ? proveLedger(context, noted) : proveTail(context, skipped, noted(skipped.first)),
          ));
      const isSound = proof.problems.length === 0;
      const compared = isSound && remembered?.first === proof.first ? remembered : undefined;
      const text = (): string => (skipped === undefined ? proofText(proof, compared) : tailText(proof, skipped));
      print(options.output, { ...proofValue(proof), ...(skipped && { notLookedAt: skipped.mark.revision }) }, text);
      if (!isSound) process.exitCode = EXIT_FAILED;
      else if (directory !== undefined && file === undefined) {
        await rememberLedger(directory, proof, new Date().toISOString());
      }
    })
    .parseAsync(args, { from: "user" });
}

/** What `--tail` leaves out. Throws where nothing was proved yet, or something is asked about it. */
function skippedPart(
  file: string | undefined,
  heads: readonly LedgerMark[],
  remembered: RememberedLedger | undefined,
): RememberedLedger & { readonly proved: ProvedPart } {
  if (file !== undefined) throw new UsageError("--tail is about the mesh's own ledger: an export is read as a whole");
  if (remembered?.proved === undefined) {
    throw new Failure("nothing was noted to go on from: run `heddle verify` without --tail first");
  }
  const { proved, mark } = remembered;
  const early = heads.find(({ revision }) => revision < mark.revision);
  if (early !== undefined) {
    throw new UsageError(
      `--tail does not look at revision ${early.revision}, which --head is of: leave one of them out`,
    );
  }
  return { ...remembered, proved };
}

function collectMark(text: string, before: readonly LedgerMark[] | undefined): readonly LedgerMark[] {
  const mark = parseMark(text);
  if (mark !== undefined) return [...(before ?? []), mark];
  throw new InvalidArgumentError("A head is REVISION:DIGEST, at least 16 digits of it, as `heddle verify` prints it.");
}

function proofText(
  { problems, notes, changes, signed, mark, heads }: LedgerProof,
  compared: RememberedLedger | undefined,
): string {
  const paint = painter(process.stdout);
  // An export may begin later than the ledger: of what came before it holds the hash only, which proves nothing by
  // itself.
  const before = problems.length === 0 ? mark.revision - changes : 0;
  const from = before > 0 ? ` from revision ${before + 1} on` : "";
  const read = `${changes} changes${from} in ${heads.size} namespaces, ${signed} of them signed by operators`;
  if (problems.length > 0) {
    const lines = problems.map(({ kind, revision, message }) => {
      return `  ${paint("red", kind)} at revision ${revision}: ${safeText(message)}`;
    });
    return [paint("red", "the ledger is not what was written"), ...lines, `read: ${read}`].join("\n");
  }
  const remarks = notes.map(({ revision, message }) => paint("yellow", `note: revision ${revision}: ${message}`));
  const since =
    compared === undefined
      ? []
      : [`holds all that it held at revision ${compared.mark.revision}, verified ${agoText(compared.time)}`];
  const unproved = before > 0 ? [paint("yellow", `note: what came before revision ${before + 1} is not in it`)] : [];
  return [
    `${paint("green", "verified")}: ${read}`,
    ...since,
    ...unproved,
    ...remarks,
    `head: ${formatMark(mark)}`,
  ].join("\n");
}

function tailText({ problems, ...proof }: LedgerProof, { mark, time }: RememberedLedger): string {
  const paint = painter(process.stdout);
  const unread = `not looked at: revisions 1 to ${mark.revision}, verified ${agoText(time)} (\`heddle verify\` reads them again)`;
  if (problems.length > 0) return [proofText({ problems, ...proof }, undefined), unread].join("\n");
  return [
    `${paint("green", "verified")}: ${proof.changes} changes since, ${proof.signed} of them signed by operators`,
    paint("yellow", unread),
    ...proof.notes.map(({ revision, message }) => paint("yellow", `note: revision ${revision}: ${message}`)),
    `head: ${formatMark(proof.mark)}`,
  ].join("\n");
}

function agoText(time: string): string {
  return formatRelative(Date.parse(time), Date.now());
}

function proofValue({ problems, notes, changes, signed, mark, heads, operators }: LedgerProof): object {
  return {
    sound: problems.length === 0,
    problems,
    notes,
    changes,
    signed,
    head: formatMark(mark),
    namespaces: Object.fromEntries(heads),
    operators: [...operators.values()].map(({ name, publicKey, role }) => ({ name, publicKey, role })),
  };
}
