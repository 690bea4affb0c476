/** `heddle export`: the ledger as JSON Lines, one CloudEvent a line, sealed by whoever exports it. */

import { createWriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import type { Command } from "commander";
import { ulid } from "ulid";
import { recordedChange } from "../../events/chain.ts";
import { readStored } from "../../events/jetstream-log.ts";
import { advanceMark, FIRST_MARK, formatMark } from "../../events/ledger-mark.ts";
import { sign } from "../../nats/keys.ts";
import { changeLine, sealLine } from "../../replay/export.ts";
import { Failure } from "../failure.ts";
import type { Moment } from "../input/moment.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { MOMENT_HELP, momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { note } from "../output/output.ts";
import { withProgress } from "../output/progress.ts";

interface ExportOptions extends ConnectionOptions {
  readonly since?: Moment;
  readonly out?: string;
}

const HELP = `
Each line is the change as the ledger holds it, with its revision as \`sequence\`; the last one seals the file with your
signature. \`heddle verify FILE\` proves it without a mesh, \`heddle import FILE\` makes a ledger of it again (a whole one,
without --since). ${MOMENT_HELP}

Examples:
  heddle export --out ledger.jsonl
  heddle export --since 1d | gzip > yesterday.jsonl.gz
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(command)
    .description("Write the ledger out, one CloudEvent a line.")
    .option("--since <moment>", "only what came after this", momentOption)
    .option("--out <file>", "write it there (default: the standard output)")
    .addHelpText("after", HELP)
    .action(async (options: ExportOptions) => {
      await withOperator(options, async (context) => {
        const after = options.since === undefined ? 0 : await revisionOf(context.ledger, options.since);
        await writeExport(context, after, options.out);
      });
    })
    .parseAsync(args, { from: "user" });
}

async function writeExport(
  { bus, credentials }: OperatorContext,
  after: number,
  out: string | undefined,
): Promise<void> {
  const target = out === undefined ? process.stdout : createWriteStream(out, { flags: "wx", mode: 0o600 });
  const failed = new Promise<never>((_, reject) => target.once("error", reject));
  failed.catch(() => {});
  const write = async (line: string): Promise<void> => {
    if (target.write(`${line}\n`)) return;
    await Promise.race([new Promise<void>((resolve) => target.once("drain", resolve)), failed]);
  };
  let base = FIRST_MARK;
  let end = FIRST_MARK;
  let changes = 0;
  try {
    // On the screen there is the export itself to be seen.
    const told = out === undefined && process.stdout.isTTY;
    const stored = readStored(bus);
    const source = told ? stored : withProgress(stored, ({ revision }) => `exported up to revision ${revision}`);
    for await (const { revision, bytes } of source) {
      if (bytes === undefined) throw new Failure(`revision ${revision} is not there any more: see \`heddle verify\``);
      const recorded = recordedChange(bytes, revision);
      end = advanceMark(end, recorded);
      if (revision <= after) base = end;
      else {
        await write(changeLine(recorded, bytes));
        changes += 1;
      }
    }
    const { name, publicKey, seed } = credentials;
    const signed = (text: string): string =>
      Buffer.from(sign(seed, new TextEncoder().encode(text))).toString("base64url");
    const text = { base: { ...base }, end: { ...end }, changes, actor: { name, publicKey } };
    await write(sealLine(text, { id: ulid(), time: new Date().toISOString(), sign: signed }));
    if (out !== undefined) {
      target.end();
      await Promise.race([finished(target), failed]);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw new Failure(`${out} is there already`);
    throw error;
  }
  note(`exported ${changes} changes; head: ${formatMark(end)}`);
}
