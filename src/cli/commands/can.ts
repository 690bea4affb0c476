/** `heddle can`: whether a call would be let through, as an answer and as an exit code. */

import type { Command } from "commander";
import { formatOrigin } from "../../projections/snapshot.ts";
import { grantCommand } from "../../proxy/filters/denial.ts";
import type { Call, Judgement } from "../../replay/call.ts";
import { refOf } from "../../replay/called-side.ts";
import { resultText } from "../../replay/explain.ts";
import { sourceText } from "../../replay/source.ts";
import { EXIT_FAILED } from "../failure.ts";
import { type CallOptions, callArguments, callText } from "../mesh/call-options.ts";
import { withJudgedCall } from "../mesh/judged-call.ts";
import { MOMENT_HELP } from "../mesh/moment-argument.ts";
import { painter, print } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

const HELP = `
Exits with 0 where the call would reach the application, and with 1 where it would not. \`heddle explain\` says why, in
full. ${MOMENT_HELP}

Examples:
  heddle can shop/web shop/payment POST /charge && echo yes
  heddle can none shop/payment POST /charge --ip 192.0.2.7
  heddle can shop/web shop/payment POST /charge --at 2026-03-01
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await callArguments(command)
    .description("Say whether a call would be let through.")
    .addHelpText("after", HELP)
    .action((source, destination, method, path, options: CallOptions) =>
      withJudgedCall([source, destination, method, path], options, (_, { call, state, judgement }) => {
        const value = { call: callText(call), revision: state.revision, ...answerValue(judgement) };
        print(options.output, value, () => answerText(call, judgement, options.at === undefined));
        if (!judgement.allowed) process.exitCode = EXIT_FAILED;
      }),
    )
    .parseAsync(args, { from: "user" });
}

function answerValue(judgement: Judgement): Readonly<Record<string, unknown>> {
  const { allowed, obstacle } = judgement;
  return { allowed, obstacle: obstacle ?? null, result: resultText(judgement), rules: decidingRules(judgement) };
}

function decidingRules({ outcomes }: Judgement): string[] {
  return [...new Set(outcomes.flatMap(({ access }) => access?.origin ?? []).map(formatOrigin))];
}

function answerText(call: Call, judgement: Judgement, isNow: boolean): string {
  const paint = painter(process.stdout);
  const { allowed, obstacle, target } = judgement;
  const rules = decidingRules(judgement);
  const by = rules.length === 0 ? "" : `, by ${rules.join(", ")}`;
  const answer = allowed ? paint("green", "yes") : paint("red", "no");
  const lines = [`${answer}: ${safeText(`${callText(call)} is ${resultText(judgement)}${by}`)}`];
  const isMissingGrant = obstacle === "unreachable" || (obstacle === "denied" && rules.length === 0);
  if (isNow && isMissingGrant) {
    const grant = grantCommand(sourceText(call.source), refOf(call.destination), call.method, pathOf(target));
    if (grant !== undefined) lines.push(`to allow it: ${grant}`);
  }
  return lines.join("\n");
}

/** The path without its query, which rules do not look at. */
function pathOf(target: string): string {
  return target.split("?")[0] ?? target;
}
