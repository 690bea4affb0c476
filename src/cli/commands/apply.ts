/** `heddle apply`: bring the mesh to what policy files say. */

import type { Command } from "commander";
import type { MeshState } from "../../events/state.ts";
import { documentNamespace } from "../../policy/document-key.ts";
import { MESH_NAMESPACE } from "../../policy/names.ts";
import type { LocatedDocument } from "../../policy/parse.ts";
import { type ChangeOptions, changeOptions, collect } from "../mesh/change-options.ts";
import { undertake } from "../mesh/change-report.ts";
import { type OperatorContext, withOperator } from "../mesh/context.ts";
import { currentState, knownMesh } from "../mesh/known-mesh.ts";
import { checkFiles, explainAt, isAbout, readDocuments, requireNamespace } from "../mesh/policy-input.ts";
import { type NamespaceCommand, type Proposal, propose } from "../mesh/proposal.ts";

const HELP = `
The difference is shown first, in words, then asked about. Documents that the files do not name stay as they are.
Each namespace is one change: it lands as a whole or not at all.

Example:
  heddle apply -f examples/shop/policy.yaml --reason "open the shop" --wait
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await changeOptions(command)
    .description("Bring the mesh to what policy files say.")
    .requiredOption("-f, --file <path>", "a file, a folder or - for standard input; may be repeated", collect)
    .addHelpText("after", HELP)
    .action(async (options: ChangeOptions & { readonly file: readonly string[] }) => {
      const documents = await readDocuments(options.file, process.stdin);
      if (options.namespace !== undefined) requireNamespace(documents, options.namespace);
      await withOperator(options, (context) => apply(context, documents, options));
    })
    .parseAsync(args, { from: "user" });
}

async function apply(
  context: OperatorContext,
  documents: readonly LocatedDocument[],
  options: ChangeOptions,
): Promise<void> {
  const before = await currentState(context);
  checkFiles(documents, knownMesh(before));
  const proposals = await propose(context, commandsOf(documents), options.reason, explainAt(documents));
  await undertake(context, undertakingOf(documents, proposals, before), options);
}

/** One command for what is mesh-wide, which the rest may rely on, then one for each namespace in order. */
export function commandsOf(documents: readonly LocatedDocument[]): NamespaceCommand[] {
  const groups = Map.groupBy(documents, ({ document }) => documentNamespace(document));
  return [...groups]
    .sort(([a], [b]) => (a === MESH_NAMESPACE ? -1 : b === MESH_NAMESPACE ? 1 : a < b ? -1 : 1))
    .map(([namespace, own]) => ({
      namespace,
      body: { kind: "apply", documents: own.map(({ document }) => document) },
    }));
}

function undertakingOf(documents: readonly LocatedDocument[], proposals: readonly Proposal[], before: MeshState) {
  const keys = new Set(documents.map(({ key }) => key));
  return {
    before,
    documents: documents.map(({ document }) => document),
    // What the files' own checks have said, with its line, and knowing all namespaces, is not said twice.
    proposals: proposals.map(({ command, decided }) => {
      const warnings = decided.warnings.filter((warning) => !isAbout(warning, keys));
      return { command, decided: { ...decided, warnings } };
    }),
  };
}
