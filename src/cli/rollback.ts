/** `heddle rollback`: policy as it was at an earlier revision, as a new change. */

import type { Command } from "commander";
import type { MeshState } from "../events/state.ts";
import { parseDocumentKey } from "../policy/document-key.ts";
import { type DocumentKey, MESH_NAMESPACE } from "../policy/names.ts";
import { diffStates } from "../replay/diff.ts";
import { type ChangeOptions, changeOptions, collect, parseRevision } from "./change-options.ts";
import { undertake } from "./change-report.ts";
import { withOperator } from "./context.ts";
import { parseKeyArgument } from "./document-argument.ts";
import { UsageError } from "./failure.ts";
import { currentState, pastState } from "./known-mesh.ts";
import { type NamespaceCommand, propose } from "./proposal.ts";

interface RollbackOptions extends ChangeOptions {
  readonly only?: readonly string[];
}

/** The mesh as it is to be again, and as it is now. */
interface Span {
  readonly target: MeshState;
  readonly current: MeshState;
}

const HELP = `
Nothing is taken out of the history: the way back is a change like any other, and can be rolled back itself. Without
-n and --only, every namespace whose policy differs goes back. Operators and trust roots stay as they are.

Examples:
  heddle rollback 41 --dry-run
  heddle rollback 41 --only Route/shop/catalog --reason "v2 times out"
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await changeOptions(command)
    .description("Bring policy back to what it was after an earlier revision.")
    .argument("<revision>", "as `heddle log` shows it", parseRevision)
    .option("--only <document>", "only KIND/NAMESPACE/NAME; may be repeated", collect)
    .addHelpText("after", HELP)
    .action(async (revision: number, options: RollbackOptions) => {
      const keys = options.only?.map((text) => keyArgument(text, options.namespace));
      await withOperator(options, async (context) => {
        const span = { target: await pastState(context, revision), current: await currentState(context) };
        const commands = rollbackCommands(span, revision, { keys, namespace: options.namespace });
        const proposals = await propose(context, commands, options.reason);
        await undertake(context, { proposals, before: span.current }, options);
      });
    })
    .parseAsync(args, { from: "user" });
}

interface Scope {
  readonly keys: readonly DocumentKey[] | undefined;
  readonly namespace: string | undefined;
}

/** A command for each namespace that is meant: those named, or those whose documents differ. */
export function rollbackCommands(span: Span, toRevision: number, { keys, namespace }: Scope): NamespaceCommand[] {
  if (keys !== undefined) {
    const groups = Map.groupBy(new Set(keys), (key) => parseDocumentKey(key)?.namespace ?? "");
    return [...groups]
      .sort(([a], [b]) => byNamespace(a, b))
      .map(([within, only]) => ({ namespace: within, body: { kind: "rollback", toRevision, only } }));
  }
  const candidates = namespace === undefined ? [...span.current.namespaces.keys()].sort(byNamespace) : [namespace];
  return candidates
    .filter((within) => diffStates(span.current, span.target, { namespace: within }).events.length > 0)
    .map((within) => ({ namespace: within, body: { kind: "rollback", toRevision } }));
}

/** What is mesh-wide first. */
function byNamespace(a: string, b: string): number {
  if (a === b) return 0;
  if (a === MESH_NAMESPACE) return -1;
  return b === MESH_NAMESPACE || a > b ? 1 : -1;
}

function keyArgument(text: string, namespace: string | undefined): DocumentKey {
  const key = parseKeyArgument(text, namespace);
  if (!key.ok) throw new UsageError(key.error);
  const within = parseDocumentKey(key.value)?.namespace;
  if (namespace === undefined || within === namespace) return key.value;
  throw new UsageError(`--namespace says ${namespace}, and --only ${key.value}`);
}
