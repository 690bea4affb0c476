/** `heddle rollback`: policy as it was at an earlier revision, as a new change. */

import type { Command } from "commander";
import { faultsSince } from "../../events/decide-faults.ts";
import { documentAt, serviceOfDocument } from "../../events/documents.ts";
import type { EventLog } from "../../events/log.ts";
import type { MeshState } from "../../events/state.ts";
import { parseDocumentKey } from "../../policy/document-key.ts";
import { type DocumentKey, MESH_NAMESPACE, parseServiceRef } from "../../policy/names.ts";
import { standingLines } from "../../replay/administrative-diff.ts";
import { diffStates } from "../../replay/diff.ts";
import { changesUndone, faultKey, type UndoneChange } from "../../replay/rollback.ts";
import { revocationLines } from "../../replay/trust-diff.ts";
import { Failure, UsageError } from "../failure.ts";
import { parseKeyArgument, parseKind } from "../input/document-argument.ts";
import type { Moment } from "../input/moment.ts";
import { type ChangeOptions, changeOptions, collect } from "../mesh/change-options.ts";
import { undertake } from "../mesh/change-report.ts";
import { type OperatorContext, withOperator } from "../mesh/context.ts";
import { effects, undoneLines } from "../mesh/going-back.ts";
import { currentState, pastState } from "../mesh/known-mesh.ts";
import { MOMENT_HELP, momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { type NamespaceCommand, propose } from "../mesh/proposal.ts";
import { note } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface RollbackOptions extends ChangeOptions {
  readonly only?: readonly string[];
  readonly except?: readonly string[];
  readonly withOthers?: true;
}

/** The mesh as it is to be again, and as it is now. */
interface Span {
  readonly target: MeshState;
  readonly current: MeshState;
}

/** Names that the remark about what stays as it is lists. */
const STANDING_MAX = 10;

const HELP = `
Nothing is taken out of the history: the way back is a change like any other, and can be rolled back itself. Without
-n, --only and --except, every namespace whose policy differs goes back, each as one change. Operators, revoked
identities and trust roots stay as they are. Before anything happens, you see what would change and which calls become possible or stop. Where
later changes of others would be undone, it refuses: you choose what to leave (--except), or say --with-others.
A DOCUMENT is KIND/NAMESPACE/NAME; NAMESPACE/NAME stands for all documents about that service.
${MOMENT_HELP}

Examples:
  heddle rollback 41 --dry-run
  heddle rollback 41 --only Route/shop/catalog --reason "v2 times out"
  heddle rollback 20m --except shop/payment
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await changeOptions(command)
    .description("Bring policy back to what it was at an earlier moment.")
    .argument("<moment>", "a revision, as `heddle log` shows it, or a time", momentOption)
    .option("--only <document>", "only this; may be repeated", collect)
    .option("--except <document>", "all but this; may be repeated", collect)
    .option("--with-others", "undo later changes of others as well")
    .addHelpText("after", HELP)
    .action(async (moment: Moment, options: RollbackOptions) => {
      await withOperator(options, (context) => rollback(context, moment, options));
    })
    .parseAsync(args, { from: "user" });
}

async function rollback(context: OperatorContext, moment: Moment, options: RollbackOptions): Promise<void> {
  const revision = await revisionOf(context.ledger, moment);
  const span = { target: await pastState(context, revision), current: await currentState(context) };
  const scope = {
    only: options.only?.flatMap((text) => keysMeant(text, options.namespace, span)),
    except: options.except?.flatMap((text) => keysMeant(text, options.namespace, span)),
    namespace: options.namespace,
  };
  const commands = rollbackCommands(span, revision, scope);
  const others = await changesOfOthers(context, span, commands);
  if (others.length > 0 && options.withOthers !== true) tellOthers(others, options.dryRun === true);
  tellStanding(span, scope, commands);
  // Of others' changes, only those that were read and shown are undone; the control plane refuses if there are newer
  // ones.
  const consented = others.length === 0 ? commands : commands.map((command) => consenting(command, span.current));
  const proposals = await propose(context, consented, options.reason);
  await undertake(
    context,
    { proposals, before: span.current, ...(await effects(context, span.current, proposals)) },
    options,
  );
}

interface Scope {
  readonly only?: readonly DocumentKey[] | undefined;
  readonly except?: readonly DocumentKey[] | undefined;
  readonly namespace?: string | undefined;
}

/**
 * A command for each namespace that is meant: those named, or those whose documents differ or where faults began since.
 */
export function rollbackCommands(
  span: Span,
  toRevision: number,
  { only, except, namespace }: Scope,
): NamespaceCommand[] {
  const left = new Set(except);
  const named = only ?? (except === undefined ? undefined : alteredKeys(span, namespace));
  if (named !== undefined) {
    const keys = [...new Set(named)].filter((key) => !left.has(key));
    const groups = Map.groupBy(keys, (key) => parseDocumentKey(key)?.namespace ?? "");
    return [...groups]
      .sort(([a], [b]) => byNamespace(a, b))
      .map(([within, own]) => ({ namespace: within, body: { kind: "rollback", toRevision, only: own } }));
  }
  const altered = new Set(alteredKeys(span, namespace).map((key) => parseDocumentKey(key)?.namespace ?? ""));
  for (const name of namespace === undefined ? span.current.namespaces.keys() : [namespace]) {
    if (faultsSince(span.target, span.current, name).length > 0) altered.add(name);
  }
  return [...altered]
    .sort(byNamespace)
    .map((within) => ({ namespace: within, body: { kind: "rollback", toRevision } }));
}

/** The documents that a return to the target changes. */
function alteredKeys({ current, target }: Span, namespace: string | undefined): DocumentKey[] {
  const { documents } = diffStates(current, target, namespace === undefined ? {} : { namespace });
  // A mesh keeps its Mesh document, whatever was before it.
  const possible = documents.filter(({ before, after }) => before?.document.kind !== "Mesh" || after !== undefined);
  return possible.map(({ key }) => key);
}

/** What is mesh-wide first. */
function byNamespace(a: string, b: string): number {
  if (a === b) return 0;
  if (a === MESH_NAMESPACE) return -1;
  return b === MESH_NAMESPACE || a > b ? 1 : -1;
}

/** Says what a whole rollback leaves as it is. Of namespaces that change, the control plane warns of identities. */
function tellStanding(span: Span, { only, except, namespace }: Scope, commands: readonly NamespaceCommand[]): void {
  if (only !== undefined || except !== undefined) return;
  const told = new Set(
    commands.flatMap(({ namespace: changed }) => revocationLines(span.target, span.current, changed)),
  );
  const lines = standingLines(span.target, span.current, namespace).filter((line) => !told.has(line));
  if (lines.length === 0) return;
  const shown = lines.slice(0, STANDING_MAX).map((line) => `  ${safeText(line)}`);
  const rest = lines.length - shown.length;
  const more = rest > 0 ? [`  and ${rest} more: see \`heddle diff ${span.target.revision}\``] : [];
  note(["this stays, for policy alone goes back:", ...shown, ...more].join("\n"));
}

/** Later changes by somebody else to what the commands take back. */
async function changesOfOthers(
  { ledger, credentials }: OperatorContext,
  span: Span,
  commands: readonly NamespaceCommand[],
): Promise<UndoneChange[]> {
  const own = credentials.publicKey;
  const undone: UndoneChange[] = [];
  for (const { namespace, body } of commands) {
    const only = body.kind === "rollback" && body.only !== undefined ? new Set(body.only) : undefined;
    const altered = alteredKeys(span, namespace).filter((key) => only?.has(key) ?? true);
    const ended = only === undefined ? faultsSince(span.target, span.current, namespace) : [];
    const faults = ended.flatMap((event) => (event.type === "FaultCleared" ? faultKey(event.id) : []));
    const later = laterChanges(ledger, span.target.revision, namespace);
    undone.push(...(await changesUndone(later, new Set([...altered, ...faults]))));
  }
  return undone.filter(({ recorded }) => recorded.change.data.actor.publicKey !== own);
}

function consenting({ namespace, body }: NamespaceCommand, { revision }: MeshState): NamespaceCommand {
  return body.kind === "rollback" ? { namespace, body: { ...body, othersUpTo: revision } } : { namespace, body };
}

function laterChanges(ledger: Pick<EventLog, "read">, after: number, namespace: string) {
  return ledger.read({ from: after + 1, namespace });
}

/** Says whose changes they are. Throws `Failure`, unless nothing is to happen anyway. */
function tellOthers(undone: readonly UndoneChange[], dryRun: boolean): void {
  const lines = undoneLines(undone, Date.now());
  const [first] = undone;
  const key = undone.flatMap((change) => change.keys).find((one) => parseDocumentKey(one) !== undefined);
  const head = `this would undo ${undone.length === 1 ? "a later change" : `${undone.length} later changes`} of others:`;
  const choice = [
    "choose one:",
    "  --with-others                 undo these as well",
    ...(key === undefined
      ? []
      : [`  ${`--except ${key}`.padEnd(29)} leave what they changed (once for each document)`]),
    `  heddle revert REVISION        undo one change alone, such as your own, and keep theirs`,
  ];
  note([head, ...lines].join("\n"));
  if (dryRun || first === undefined) return;
  throw new Failure(["nothing was changed", ...choice].join("\n"));
}

/** The documents that a text on the command line stands for. Throws `UsageError`. */
function keysMeant(text: string, namespace: string | undefined, span: Span): DocumentKey[] {
  const service = parseServiceRef(text);
  if (service !== undefined && !parseKind(service.namespace).ok) {
    const altered = alteredKeys(span, service.namespace);
    return altered.filter((key) =>
      [span.current, span.target].some((state) => {
        const document = documentAt(state, key)?.document;
        return document !== undefined && serviceOfDocument(document) === service.name;
      }),
    );
  }
  return [keyArgument(text, namespace)];
}

function keyArgument(text: string, namespace: string | undefined): DocumentKey {
  const key = parseKeyArgument(text, namespace);
  if (!key.ok) throw new UsageError(key.error);
  const within = parseDocumentKey(key.value)?.namespace;
  if (namespace === undefined || within === namespace) return key.value;
  throw new UsageError(`--namespace says ${namespace}, and the document's name ${key.value}`);
}
