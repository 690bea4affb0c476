/** `heddle suggest`: policy that covers what was seen. */

import type { Command } from "commander";
import { serviceRef } from "../../policy/names.ts";
import { renderDocument } from "../../policy/render.ts";
import { type Suggestion, suggestAccess } from "../../replay/suggest-access.ts";
import { Failure } from "../failure.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { currentState, requireService } from "../mesh/known-mesh.ts";
import { parseSince, trafficSince } from "../mesh/traffic-input.ts";
import { note, painter, printText } from "../output/output.ts";

interface SuggestOptions extends ConnectionOptions {
  readonly namespace?: string;
  /** Milliseconds since 1970. */
  readonly since?: number;
  readonly denied?: true;
}

const WEEK_MS = 7 * 24 * 3_600_000;

const HELP = `
What was not called in that time is not in it, such as a job that runs once a month: read it before you apply it.
Ids in paths are written {id}, which is any one segment.

Example:
  heddle suggest access shop/payment > payment.yaml
  heddle what-if -f payment.yaml && heddle apply -f payment.yaml
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Write policy that covers what was seen.");
  connectionOptions(namespaceOption(command.command("access")))
    .description("Write the least AccessPolicy that covers the calls of a service that were let through.")
    .argument("<service>", "NAMESPACE/NAME, or NAME with -n")
    .option("--since <time>", "calls from then on (default: the last 7d)", parseSince)
    .option("--denied", "cover calls that were denied as well")
    .addHelpText("after", HELP)
    .action(suggest);
  await command.parseAsync(args, { from: "user" });
}

async function suggest(text: string, { since, denied, ...options }: SuggestOptions): Promise<void> {
  const service = parseServiceArgument(text, options.namespace);
  const nowMs = Date.now();
  await withOperator(options, async (context) => {
    const state = await currentState(context);
    const ref = serviceRef(service.namespace, service.name);
    requireService(state, service);
    const calls = await trafficSince(context, { fromMs: since ?? nowMs - WEEK_MS, toMs: nowMs });
    const suggestion = suggestAccess(state, service, calls.calls(), { denied: denied === true });
    noteUncovered(suggestion);
    if (suggestion.document === undefined) {
      throw new Failure(`the traffic ledger has no calls of ${ref} that a rule could allow`);
    }
    printText(renderDocument(suggestion.document));
  });
}

function noteUncovered({ uncovered }: Suggestion): void {
  if (uncovered.length === 0) return;
  const calls = uncovered.reduce((sum, { count }) => sum + count, 0);
  const warning = painter(process.stderr)("yellow", "warning:");
  note(`${warning} ${calls} calls are not covered: their caller has no identity, or their path is not known`);
}
