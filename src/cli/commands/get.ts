/** `heddle get`: policy as it is, or as it was. Reads the ledger itself, so it works while no control replica does. */

import type { Command } from "commander";
import { documentsOf, type StatedDocument } from "../../events/documents.ts";
import type { MeshState } from "../../events/state.ts";
import { nearest } from "../../policy/nearest.ts";
import { renderDocuments } from "../../policy/render.ts";
import { Failure, UsageError } from "../failure.ts";
import { type DocumentSelection, parseSelection } from "../input/document-argument.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { pastState } from "../mesh/known-mesh.ts";
import { atOption, MOMENT_HELP, revisionOf } from "../mesh/moment-argument.ts";
import { summarise } from "../output/document-summary.ts";
import { note, type OutputFormat, outputOption, print, printText, table } from "../output/output.ts";
import { escapeUnsafe, safeLine, safeText } from "../output/safe-text.ts";

interface GetOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly allNamespaces?: true;
  readonly output: OutputFormat;
  readonly at?: Moment;
}

/** Characters of a document's summary, so that a row fits a terminal. */
const SUMMARY_LENGTH_MAX = 34;

const HELP = `
Kinds: mesh, service (svc), route (rt), accesspolicy (ap), ratelimit (rl). What -o yaml prints can be applied.
${MOMENT_HELP}

Examples:
  heddle get
  heddle get route/catalog -n shop -o yaml
  heddle get ap --at 41
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(namespaceOption(atOption(command))))
    .description("Show policy as it is, or as it was.")
    .argument("[selection...]", "KIND, KIND/NAME, KIND NAME or KIND/NAMESPACE/NAME; everything without it")
    .option("-A, --all-namespaces", "all namespaces (the default)")
    .addHelpText("after", HELP)
    .action(async (selection: readonly string[], options: GetOptions) => {
      const selected = selectionOf(selection, options);
      await withOperator(options, async (context) => {
        const state = await pastState(context, await revisionOf(context.ledger, options.at));
        show(found(state, selected), options.output, Date.now());
      });
    })
    .parseAsync(args, { from: "user" });
}

function selectionOf(args: readonly string[], { namespace, allNamespaces }: GetOptions): DocumentSelection {
  const selection = parseSelection(args);
  if (!selection.ok) throw new UsageError(selection.error);
  if (namespace === undefined) return selection.value;
  if (allNamespaces === true) throw new UsageError("--namespace and --all-namespaces contradict each other");
  const named = selection.value.namespace ?? namespace;
  if (named !== namespace) throw new UsageError(`--namespace says ${namespace}, and the document's name ${named}`);
  return { ...selection.value, namespace };
}

/** Throws `Failure` where a document is named and is not there. */
function found(state: MeshState, { kind, namespace, name }: DocumentSelection): StatedDocument[] {
  const within = namespace === undefined || kind === "Mesh" ? {} : { namespace };
  const all = documentsOf(state, { ...within, ...(kind === undefined ? {} : { kind }) });
  if (name === undefined) return all;
  const named = all.filter(({ document }) => document.metadata.name === name);
  if (named.length > 0) return named;
  const meant = nearest(
    name,
    all.map(({ document }) => document.metadata.name),
  );
  const wanted = [kind, namespace, name].filter((part) => part !== undefined).join("/");
  throw new Failure(`there is no ${safeText(wanted)}${meant === undefined ? "" : `; did you mean ${meant}?`}`);
}

function show(documents: readonly StatedDocument[], format: OutputFormat, nowMs: number): void {
  const plain = documents.map(({ document }) => document);
  // YAML as people write policy; the general printer would not give it back as it was applied.
  if (format === "yaml") printText(escapeUnsafe(renderDocuments(plain)));
  else if (format === "table" && documents.length === 0) note("there are no documents");
  else print(format, plain, () => documentTable(documents, nowMs));
}

function documentTable(documents: readonly StatedDocument[], nowMs: number): string {
  const rows = documents.map(({ key, document, origin }) => [
    key,
    safeLine(summarise(document), SUMMARY_LENGTH_MAX),
    String(origin.revision),
    formatRelative(Date.parse(origin.time), nowMs),
    safeText(origin.actor),
  ]);
  // The key as a whole: that is how other commands want a document named.
  return table(["document", "about", "revision", "changed", "by"], rows);
}
