/** `heddle what-if`: what policy files would have made of the calls that there really were. */

import type { Command } from "commander";
import type { MeshState } from "../events/state.ts";
import type { LocatedDocument } from "../policy/parse.ts";
import { refOf } from "../replay/call.ts";
import { resultText } from "../replay/explain.ts";
import type { TrafficTable } from "../replay/traffic-table.ts";
import { candidateState, type Flip, type FlipKind, type WhatIf, whatIf, whereTo } from "../replay/what-if.ts";
import { commandsOf } from "./apply.ts";
import { collect } from "./change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "./context.ts";
import { EXIT_FAILED, Failure } from "./failure.ts";
import { currentState, knownMesh } from "./known-mesh.ts";
import { formatRelative } from "./moment.ts";
import { note, type OutputFormat, outputOption, type Paint, painter, print, table } from "./output.ts";
import { checkFiles, explainAt, readDocuments } from "./policy-input.ts";
import { safeText } from "./safe-text.ts";
import { parseSince, trafficSince } from "./traffic-input.ts";

interface WhatIfOptions extends ConnectionOptions {
  readonly file: readonly string[];
  /** Milliseconds since 1970. */
  readonly since?: number;
  readonly failOnDeny?: true;
  readonly output: OutputFormat;
}

const DAY_MS = 24 * 3_600_000;
/** Kinds of calls that a person is shown; machines get them all. */
const SHOWN_MAX = 50;

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

const COUNTED: Readonly<Record<FlipKind, string>> = {
  denied: "would be refused",
  allowed: "would be let through",
  rerouted: "would go elsewhere",
};

function countsText(flips: readonly Flip[]): string {
  const groups = Map.groupBy(flips, ({ kind }) => kind);
  if (groups.size === 0) return "nothing would change for any of them";
  const texts = Array.from(groups, ([kind, own]) => {
    const calls = own.reduce((sum, { observed }) => sum + observed.count, 0);
    return `${calls} ${COUNTED[kind]}`;
  });
  return texts.join(", ");
}

const STYLES = { denied: "red", allowed: "green", rerouted: "yellow" } as const;

function flipsText(flips: readonly Flip[], paint: Paint): string {
  if (flips.length === 0) return "";
  const rows = flips.slice(0, SHOWN_MAX).map((flip) => {
    const { kind, observed, before, after } = flip;
    const becomes = kind === "rerouted" ? `${whereTo(before)} → ${whereTo(after)}` : resultText(after);
    return [paint(STYLES[kind], kind), String(observed.count), safeText(flipCallText(flip)), safeText(becomes)];
  });
  const more = flips.length > SHOWN_MAX ? `and ${flips.length - SHOWN_MAX} more kinds of calls: -o json\n` : "";
  return `${table(["would be", "calls", "call", "then"], rows)}${more}`;
}

/** With the template in place of the path that stood for it. */
function flipCallText({ call, observed }: Flip): string {
  const request = observed.path === "" ? "over TCP" : `${observed.method} ${observed.path}`;
  return `${refOf(call.source)} → ${refOf(call.destination)} ${request}`;
}

function answerValue(before: MeshState, fromMs: number, { flips, judged, uncertain, unjudged }: WhatIf): unknown {
  return {
    revision: before.revision,
    since: new Date(fromMs).toISOString(),
    judged,
    uncertain,
    unjudged,
    flips: flips.map(({ kind, observed, before: was, after }) => ({
      kind,
      source: observed.source,
      destination: observed.destination,
      method: observed.method,
      path: observed.path,
      calls: observed.count,
      decisions: observed.decisions,
      before: { result: resultText(was), to: whereTo(was) },
      after: { result: resultText(after), to: whereTo(after), obstacle: after.obstacle ?? null },
    })),
  };
}
