/** `heddle access diff`: which calls became possible between two moments, and which stopped. */

import type { Command } from "commander";
import { serviceRef } from "../../policy/names.ts";
import { accessDiff } from "../../replay/access-diff.ts";
import type { Moment } from "../input/moment.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { pastState } from "../mesh/known-mesh.ts";
import { MOMENT_HELP, momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { accessText } from "../output/access-text.ts";
import { note, type OutputFormat, outputOption, painter, print } from "../output/output.ts";

interface AccessDiffOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly service?: string;
  readonly exitCode?: true;
  readonly output: OutputFormat;
}

const HELP = `
Decided by the very code by which sidecars decide, for every service that is declared. Without B, up to now.
${MOMENT_HELP}

Examples:
  heddle access diff 41
  heddle access diff 2d head --service shop/payment
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Look at who may call whom.");
  const diff = command.command("diff").description("Show which calls became possible, and which stopped.");
  connectionOptions(outputOption(namespaceOption(diff)))
    .argument("<a>", "the earlier moment", momentOption)
    .argument("[b]", "the later one", momentOption)
    .option("--service <service>", "only calls by or to this service (NAMESPACE/NAME, or NAME with -n)")
    .option("--exit-code", "exit with 1 where anything differs")
    .addHelpText("after", HELP)
    .action((a: Moment, b: Moment | undefined, options: AccessDiffOptions) => show(a, b, options));
  await command.parseAsync(args, { from: "user" });
}

async function show(a: Moment, b: Moment | undefined, options: AccessDiffOptions): Promise<void> {
  const { namespace, service: text, output } = options;
  const named = text === undefined ? undefined : parseServiceArgument(text, namespace);
  const service = named && serviceRef(named.namespace, named.name);
  await withOperator(options, async (context) => {
    const before = await pastState(context, await revisionOf(context.ledger, a));
    const after = await pastState(context, await revisionOf(context.ledger, b));
    const differences = accessDiff(before, after, { namespace, service });
    if (differences.length === 0 && output === "table") note("the same calls are possible");
    const value = { fromRevision: before.revision, toRevision: after.revision, differences };
    print(output, value, () => accessText(differences, painter(process.stdout)));
    if (differences.length > 0 && options.exitCode === true) process.exitCode = 1;
  });
}
