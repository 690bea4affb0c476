/** `heddle at`: any command that reads, as of a moment. */

import type { Command } from "commander";
import { COMMANDS, runEntry } from "../commands.ts";
import { UsageError } from "../failure.ts";
import { MOMENT_HELP, momentOption } from "../mesh/moment-argument.ts";

/** The option by which each command that reads takes the moment; of some, one subcommand reads. */
const OPTIONS: Readonly<Record<string, string>> = {
  get: "--at",
  blame: "--at",
  status: "--at",
  explain: "--at",
  can: "--at",
  "who-can": "--at",
  log: "--until",
  "operator list": "--at",
  "token list": "--at",
  "fault list": "--at",
  "ca bundle": "--at",
};

/** These are about two moments already. */
const NAMING_MOMENTS: ReadonlySet<string> = new Set(["diff", "access", "audit", "bisect", "show", "impact"]);

const HELP = `
Commands: ${Object.keys(OPTIONS).join(", ")}.
${MOMENT_HELP}

Examples:
  heddle at 41 get route/catalog -n shop
  heddle at 2d who-can shop/payment
  heddle at 2026-03-01 operator list
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await command
    .description("Run a command that reads, as of a moment of the past.")
    .argument("<moment>", "a revision, a time ago or a time", (text: string) => {
      momentOption(text);
      return text;
    })
    .argument("<command>", "which command")
    .argument("[args...]", "its own arguments and options")
    .passThroughOptions()
    .allowUnknownOption()
    .addHelpText("after", HELP)
    .action(async (moment: string, name: string, own: readonly string[]) => {
      const entry = COMMANDS.find((candidate) => candidate.name === name);
      if (entry === undefined) throw new UsageError(`unknown command '${name}'`);
      const [first = "", ...rest] = own;
      const alone = optionOf(name);
      const option = alone ?? optionOf(`${name} ${first}`);
      if (NAMING_MOMENTS.has(name)) throw new UsageError(`${name} names its moments itself: see heddle ${name} --help`);
      if (option === undefined) {
        throw new UsageError(`${name} has no past; these have: ${Object.keys(OPTIONS).join(", ")}`);
      }
      await runEntry(entry, alone === undefined ? [first, option, moment, ...rest] : [option, moment, ...own]);
    })
    .parseAsync(args, { from: "user" });
}

function optionOf(name: string): string | undefined {
  return Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
}
