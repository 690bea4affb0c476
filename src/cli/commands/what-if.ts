/** `heddle what-if`: what policy files would have made of the calls that there really were. */

import type { Command } from "commander";
import type { MeshState } from "../../events/state.ts";
import type { LocatedDocument } from "../../policy/parse.ts";
import type { TrafficTable } from "../../replay/traffic-table.ts";
import { candidateState, type WhatIf, whatIf } from "../../replay/what-if.ts";
import { EXIT_FAILED, Failure } from "../failure.ts";
import { formatRelative } from "../input/moment.ts";
import { collect } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { currentState, knownMesh } from "../mesh/known-mesh.ts";
import { checkFiles, explainAt, readDocuments } from "../mesh/policy-input.ts";
import { parseSince, trafficSince } from "../mesh/traffic-input.ts";
import { countsText, flipsText, flipValue } from "../output/flips-text.ts";
import { note, type OutputFormat, outputOption, painter, print } from "../output/output.ts";
import { commandsOf } from "./apply.ts";

interface WhatIfOptions extends ConnectionOptions {
  readonly file: readonly string[];
  /** Milliseconds since 1970. */
  readonly since?: number;
  readonly failOnDeny?: true;
  readonly output: OutputFormat;
}

const DAY_MS = 24 * 3_600_000;

const HELP = `
Calls come from the traffic ledger, where sidecars report them once a minute, and are judged as sidecars judge them, by
policy as it is and by policy as it would be. Nothing is changed. Headers, claims and addresses are not recorded: calls
are judged without them.

Example, for a pipeline:
  heddle what-if -f policy/ --since 7d --fail-on-deny
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(command))
    .description("Show which recorded calls policy files would deny, allow or send elsewhere.")
    .requiredOption("-f, --file <path>", "a file, a folder or - for standard input; may be repeated", collect)
    .option("--since <time>", "calls from then on (default: the last 24h)", parseSince)
    .option("--fail-on-deny", "exit with 1 where calls that are let through now would be refused")
    .addHelpText("after", HELP)
    .action(async (options: WhatIfOptions) => {
      const documents = await readDocuments(options.file, process.stdin);
      await withOperator(options, (context) => show(context, documents, options));
    })
    .parseAsync(args, { from: "user" });
}

async function show(
  context: OperatorContext,
  documents: readonly LocatedDocument[],
  { since, output, failOnDeny }: WhatIfOptions,
): Promise<void> {
  const nowMs = Date.now();
  const fromMs = since ?? nowMs - DAY_MS;
  const before = await currentState(context);
  checkFiles(documents, knownMesh(before));
  const after = candidateOf(before, documents, nowMs);
  const calls = await trafficSince(context, { fromMs, toMs: nowMs });
  const answer = whatIf(calls.calls(), before, after);
  if (output === "table") note(headline(calls, answer, formatRelative(fromMs, nowMs)));
  print(output, answerValue(before, fromMs, answer), () => flipsText(answer.flips, painter(process.stdout)));
  if (failOnDeny === true && answer.flips.some(({ kind }) => kind === "denied")) process.exitCode = EXIT_FAILED;
}

/** Throws `Failure`, having said each problem with its place, where the files would be refused. */
function candidateOf(before: MeshState, documents: readonly LocatedDocument[], nowMs: number): MeshState {
  const origin = { revision: before.revision + 1, actor: "what-if", time: new Date(nowMs).toISOString() };
  const after = candidateState(before, commandsOf(documents), origin);
  if (after.ok) return after.value;
  const explain = explainAt(documents);
  for (const problem of after.error.problems) note(explain(problem));
  throw new Failure("the mesh would refuse these documents");
}

function headline(calls: TrafficTable, { flips, judged, uncertain, unjudged }: WhatIf, since: string): string {
  const parts = [`${judged} calls since ${since} judged: ${countsText(flips)}`];
  if (calls.total === 0) parts.push("the traffic ledger has no calls of that time");
  if (uncertain > 0) {
    parts.push(`${uncertain} of them were decided otherwise: by headers, claims or addresses, or by an earlier policy`);
  }
  if (unjudged > 0) parts.push(`${unjudged} more cannot be judged: their caller or path is not known`);
  return parts.join("\n");
}

function answerValue(before: MeshState, fromMs: number, { flips, judged, uncertain, unjudged }: WhatIf): unknown {
  return {
    revision: before.revision,
    since: new Date(fromMs).toISOString(),
    judged,
    uncertain,
    unjudged,
    flips: flips.map(flipValue),
  };
}
