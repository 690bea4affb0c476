/** `heddle blame`: which change put each field of a document where it is. */

import type { Command } from "commander";
import { parseDocumentKey } from "../../policy/document-key.ts";
import type { DocumentKey } from "../../policy/names.ts";
import { formatPath } from "../../policy/problems.ts";
import { renderInline } from "../../policy/render.ts";
import { type BlamedField, blameDocuments, type DocumentBlame } from "../../replay/blame.ts";
import { Failure, UsageError } from "../failure.ts";
import { parseKeyArgument } from "../input/document-argument.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { documentHistory } from "../mesh/indexed-ledger.ts";
import { atOption, MOMENT_HELP, revisionOf } from "../mesh/moment-argument.ts";
import { type OutputFormat, outputOption, print, table } from "../output/output.ts";
import { withProgress } from "../output/progress.ts";
import { safeLine, safeText } from "../output/safe-text.ts";

interface BlameOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly at?: Moment;
  readonly output: OutputFormat;
}

/** Characters of a value and of a reason in a line; `-o json` has them whole. */
const VALUE_LENGTH_MAX = 40;
const REASON_LENGTH_MAX = 60;

const HELP = `
${MOMENT_HELP}

Examples:
  heddle blame Route/shop/catalog
  heddle blame ap/payment -n shop --at 41
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(namespaceOption(atOption(command))))
    .description("Show for each field of a document who put it there, when and why.")
    .argument("<document>", "KIND/NAMESPACE/NAME, or KIND/NAME with -n")
    .addHelpText("after", HELP)
    .action(async (text: string, options: BlameOptions) => {
      const key = parseKeyArgument(text, options.namespace);
      if (!key.ok) throw new UsageError(key.error);
      await withOperator(options, async (context) => {
        const to = await revisionOf(context.ledger, options.at);
        const blame = await documentBlame(context, key.value, to);
        requirePresent(key.value, blame);
        print(options.output, blameValue(key.value, to, blame), () => blameTable(blame.fields, Date.now()));
      });
    })
    .parseAsync(args, { from: "user" });
}

/** Reads the history of the document up to a revision. */
async function documentBlame(context: OperatorContext, key: DocumentKey, to: number): Promise<DocumentBlame> {
  const namespace = parseDocumentKey(key)?.namespace ?? "";
  const history = documentHistory(context, { to, namespace }, [key]);
  const told = withProgress(history, ({ revision }) => `read up to revision ${revision} of ${to}`);
  const blame = (await blameDocuments(told, [key])).get(key);
  if (blame === undefined) throw new Error(`no blame for ${key}`);
  return blame;
}

function requirePresent(key: DocumentKey, { fields, removed }: DocumentBlame): void {
  if (fields.length > 0) return;
  if (removed === undefined) throw new Failure(`there is no ${key}`);
  const { revision, actor, time } = removed;
  throw new Failure(
    `there is no ${key} any more: ${safeText(actor)} removed it at revision ${revision} (${safeText(time)}); see it with --at ${revision - 1}`,
  );
}

function blameTable(fields: readonly BlamedField[], nowMs: number): string {
  const rows = fields.map(({ path, value, by }) => [
    safeText(formatPath(["spec", ...path])),
    safeLine(renderInline(value), VALUE_LENGTH_MAX),
    String(by.revision),
    safeText(by.actor),
    formatRelative(Date.parse(by.time), nowMs),
    by.reason === "" ? "" : `"${safeLine(by.reason, REASON_LENGTH_MAX)}"`,
  ]);
  return table(["field", "value", "revision", "by", "when", "why"], rows);
}

function blameValue(document: DocumentKey, revision: number, { fields }: DocumentBlame): unknown {
  return {
    document,
    revision,
    fields: fields.map(({ path, value, by }) => ({ path: formatPath(["spec", ...path]), value, ...by })),
  };
}
