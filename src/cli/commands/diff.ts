/** `heddle diff`: what differs between two moments of the mesh: in words, document by document, or for one service. */

import type { Command } from "commander";
import { stringify } from "yaml";
import type { MeshState } from "../../events/state.ts";
import { MESH_NAMESPACE, serviceRef } from "../../policy/names.ts";
import { formatPath } from "../../policy/problems.ts";
import type { ServiceName } from "../../projections/call-graph.ts";
import { compileSnapshot, snapshotDigest } from "../../projections/compile-snapshot.ts";
import type { ServiceSnapshot } from "../../projections/snapshot.ts";
import { diffStates, type StateDiff } from "../../replay/diff.ts";
import { changeAt } from "../../replay/revision-at.ts";
import { Failure, UsageError } from "../failure.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { pastState } from "../mesh/known-mesh.ts";
import { MOMENT_HELP, momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { eventLine } from "../mesh/proposal.ts";
import { differenceLines } from "../output/document-lines.ts";
import { changedLines, markedLines, paintLine } from "../output/marked-lines.ts";
import { note, type OutputFormat, outputOption, type Paint, painter, print } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface DiffOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly full?: true;
  readonly service?: string;
  readonly exitCode?: true;
  readonly output: OutputFormat;
}

/** The mesh at the two moments. */
interface Span {
  readonly before: MeshState;
  readonly after: MeshState;
}

/** Lines around a changed one of a snapshot. */
const CONTEXT_LINES = 3;

const HELP = `
Without B, up to now. ${MOMENT_HELP}

Examples:
  heddle diff 41
  heddle diff 2d head~1 -n shop --full
  heddle diff 41 44 --service shop/catalog
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(namespaceOption(command)))
    .description("Show what differs between two moments.")
    .argument("<a>", "the earlier moment", momentOption)
    .argument("[b]", "the later one", momentOption)
    .option("--full", "each document, line by line")
    .option("--service <service>", "what this service's sidecars enforce, line by line (NAMESPACE/NAME)")
    .option("--exit-code", "exit with 1 where anything differs")
    .addHelpText("after", HELP)
    .action(async (a: Moment, b: Moment | undefined, options: DiffOptions) => {
      const { service: text, full } = options;
      if (text !== undefined && full === true) throw new UsageError("--full and --service say two things: choose one");
      const service = text === undefined ? undefined : parseServiceArgument(text, options.namespace);
      await withOperator(options, async (context) => {
        const span = await spanOf(context, a, b);
        if (options.output === "table") note(await headline(context, span));
        const differs = service === undefined ? showDiff(span, options) : showSnapshots(span, service, options);
        if (differs && options.exitCode === true) process.exitCode = 1;
      });
    })
    .parseAsync(args, { from: "user" });
}

async function spanOf(context: OperatorContext, a: Moment, b: Moment | undefined): Promise<Span> {
  const [from, to] = [await revisionOf(context.ledger, a), await revisionOf(context.ledger, b)];
  return { before: await pastState(context, from), after: await pastState(context, to) };
}

/** `revision 41 (2h ago) → revision 44 (now)` */
async function headline({ ledger }: OperatorContext, { before, after }: Span): Promise<string> {
  const nowMs = Date.now();
  const ends = await Promise.all(
    [before, after].map(async ({ revision }) => {
      const recorded = await changeAt(ledger, revision);
      const when = recorded === undefined ? "the beginning" : formatRelative(Date.parse(recorded.change.time), nowMs);
      return `revision ${revision} (${when})`;
    }),
  );
  return ends.join(" → ");
}

/** Returns whether anything differs. */
function showDiff({ before, after }: Span, { namespace, full, output }: DiffOptions): boolean {
  const diff = diffStates(before, after, namespace === undefined ? {} : { namespace });
  const paint = painter(process.stdout);
  const people = (): string => (full === true ? fullText(diff, paint) : wordsText(diff, before, paint));
  if (diff.lines.length === 0 && output === "table") note("nothing differs");
  else print(output, diffValue(diff), people);
  return diff.lines.length > 0;
}

/** Under each namespace, what its documents' differences come down to. */
function wordsText({ events, lines }: StateDiff, before: MeshState, paint: Paint): string {
  const sections = Map.groupBy(events, (event) => ("namespace" in event ? event.namespace : MESH_NAMESPACE));
  const administrative = lines.slice(events.length);
  if (administrative.length > 0 && !sections.has(MESH_NAMESPACE)) sections.set(MESH_NAMESPACE, []);
  return [...sections]
    .flatMap(([namespace, own]) => [
      paint("bold", safeText(namespace)),
      ...own.map((event) => eventLine(event, paint, before)),
      ...(namespace === MESH_NAMESPACE ? administrative.map((line) => `  ~ ${safeText(line)}`) : []),
    ])
    .join("\n");
}

function fullText({ documents, events, lines }: StateDiff, paint: Paint): string {
  const administrative = lines.slice(events.length).map((line) => `~ ${safeText(line)}`);
  const sections = [...administrative, ...documents.map((difference) => differenceLines(difference, paint).join("\n"))];
  return sections.join("\n\n");
}

function diffValue({ fromRevision, toRevision, events, lines, documents }: StateDiff): unknown {
  return {
    fromRevision,
    toRevision,
    lines,
    events,
    documents: documents.map(({ key, change, before, after, fields }) => ({
      key,
      change,
      before: before?.document ?? null,
      after: after?.document ?? null,
      fields: fields.map((field) => ({
        path: formatPath(["spec", ...field.path]),
        before: field.before ?? null,
        after: field.after ?? null,
      })),
      origin: after?.origin ?? null,
    })),
  };
}

/** Returns whether the two snapshots are enforced differently. */
function showSnapshots({ before, after }: Span, service: ServiceName, { output }: DiffOptions): boolean {
  const [was, is] = [compileSnapshot(before, service), compileSnapshot(after, service)];
  const ref = serviceRef(service.namespace, service.name);
  if (was === undefined && is === undefined) throw new Failure(`there was no service ${ref} at either moment`);
  const differs = digestOf(was) !== digestOf(is);
  if (!differs && output === "table") {
    note(`the sidecars of ${ref} enforce the same`);
    return false;
  }
  print(output, { service: ref, differs, before: was ?? null, after: is ?? null }, () => {
    const paint = painter(process.stdout);
    const lines = changedLines(markedLines(snapshotLines(was), snapshotLines(is)), CONTEXT_LINES);
    return lines.map((line) => paintLine(line, paint)).join("\n");
  });
  return differs;
}

function digestOf(snapshot: ServiceSnapshot | undefined): string | undefined {
  return snapshot && snapshotDigest(snapshot);
}

/** As YAML; the revision that it was compiled at is said above, and the roots' text says nothing to a reader. */
function snapshotLines(snapshot: ServiceSnapshot | undefined): string[] {
  if (snapshot === undefined) return [];
  const { revision: _, trustBundle, ...rest } = snapshot;
  const shown = { ...rest, trustBundle: trustBundle.map((pem) => pem.replaceAll("\n", "").slice(-60)) };
  return stringify(shown, { lineWidth: 0 }).trimEnd().split("\n");
}
