/** `heddle delete`: remove policy documents. */

import type { Command } from "commander";
import { documentAt } from "../../events/documents.ts";
import type { MeshState } from "../../events/state.ts";
import { parseDocumentKey } from "../../policy/document-key.ts";
import { type DocumentKey, MESH_NAMESPACE } from "../../policy/names.ts";
import { UsageError } from "../failure.ts";
import { parseKeyArgument } from "../input/document-argument.ts";
import { type ChangeOptions, changeOptions, collect } from "../mesh/change-options.ts";
import { undertake } from "../mesh/change-report.ts";
import { withOperator } from "../mesh/context.ts";
import { currentState } from "../mesh/known-mesh.ts";
import { readDocuments } from "../mesh/policy-input.ts";
import { type NamespaceCommand, propose } from "../mesh/proposal.ts";
import { note } from "../output/output.ts";

interface DeleteOptions extends ChangeOptions {
  readonly file?: readonly string[];
}

const HELP = `
With -f, what the files name and the mesh has is removed; the Mesh document stays.

Example:
  heddle delete RateLimit/shop/payment --reason "not needed any more"
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await changeOptions(command)
    .description("Remove policy documents.")
    .argument("[documents...]", "KIND/NAMESPACE/NAME, or KIND/NAME with -n")
    .option("-f, --file <path>", "remove what a file, a folder or - names; may be repeated", collect)
    .addHelpText("after", HELP)
    .action(async (documents: readonly string[], options: DeleteOptions) => {
      const keys = documents.map((text) => keyArgument(text, options.namespace));
      const filed = options.file === undefined ? [] : await readDocuments(options.file, process.stdin);
      if (keys.length + filed.length === 0) throw new UsageError("name what to remove, or a file with -f");
      await withOperator(options, async (context) => {
        const before = await currentState(context);
        const present = removable(
          filed.map(({ key }) => key),
          before,
        );
        const commands = removalsOf([...keys, ...present]);
        const proposals = await propose(context, commands, options.reason);
        await undertake(context, { proposals, before }, options);
      });
    })
    .parseAsync(args, { from: "user" });
}

function keyArgument(text: string, namespace: string | undefined): DocumentKey {
  const key = parseKeyArgument(text, namespace);
  if (key.ok) return key.value;
  throw new UsageError(key.error);
}

/**
 * Those of a file's documents that are there to delete. Others are no mistake: files are applied and deleted as they
 * are.
 */
function removable(keys: readonly DocumentKey[], state: MeshState): DocumentKey[] {
  return keys.filter((key) => {
    if (parseDocumentKey(key)?.namespace === MESH_NAMESPACE) {
      note(`${key} stays: a mesh without it has no trust domain`);
      return false;
    }
    if (documentAt(state, key) !== undefined) return true;
    note(`${key} is not there`);
    return false;
  });
}

/** One command for each namespace, in order. */
export function removalsOf(keys: readonly DocumentKey[]): NamespaceCommand[] {
  const groups = Map.groupBy(new Set(keys), (key) => parseDocumentKey(key)?.namespace ?? "");
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([namespace, own]) => ({ namespace, body: { kind: "delete", keys: own } }));
}
