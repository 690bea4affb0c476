/** `heddle wait`: until a revision is enforced everywhere. */

import { type Command, InvalidArgumentError } from "commander";
import { parseRevision, timeoutOption } from "../mesh/change-options.ts";
import { askWait } from "../mesh/command-client.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { convergenceWords, requireApplied } from "../mesh/convergence.ts";
import { requireRevision } from "../mesh/known-mesh.ts";
import { type OutputFormat, outputOption, print } from "../output/output.ts";

interface WaitOptions extends ConnectionOptions {
  readonly output: OutputFormat;
  /** Milliseconds. */
  readonly timeout: number;
}

const LATEST = "latest";

const HELP = `
Exits with 1 when the time is up, and says which instance lags and why.

Example:
  heddle wait latest --timeout 1m
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(timeoutOption(command)))
    .description("Wait until every connected instance enforces a revision.")
    .argument("<revision>", `a revision, or "${LATEST}": the last one there is now`, parseTarget)
    .addHelpText("after", HELP)
    .action(async (target: number | typeof LATEST, options: WaitOptions) => {
      await withOperator(options, async (context) => {
        const last = await requireRevision(context.ledger, target === LATEST ? 0 : target);
        const revision = target === LATEST ? last : target;
        // Before the first change there is nothing that anybody could lag behind.
        const reply =
          revision === 0
            ? { applied: true, lagging: [] }
            : await askWait(context, { revision, timeoutMs: options.timeout });
        const words = options.output === "table" ? await convergenceWords(context, revision, reply) : "";
        print(options.output, { revision, ...reply }, () => words);
        requireApplied(revision, reply);
      });
    })
    .parseAsync(args, { from: "user" });
}

function parseTarget(text: string): number | typeof LATEST {
  if (text === LATEST) return LATEST;
  const revision = parseRevision(text);
  if (revision >= 1) return revision;
  throw new InvalidArgumentError("Revisions count from 1.");
}
