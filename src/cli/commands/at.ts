/** `heddle at`: any command that reads, as of a moment. */

import type { Command } from "commander";
import { COMMANDS, runEntry } from "../commands.ts";
import { UsageError } from "../failure.ts";
import { MOMENT_HELP, momentOption } from "../mesh/moment-argument.ts";

/** The option by which each command that reads takes the moment. */
const OPTIONS: Readonly<Record<string, string>> = {
  get: "--at",
  blame: "--at",
  status: "--at",
  explain: "--at",
  can: "--at",
  "who-can": "--at",
  log: "--until",
};

const HELP = `
Commands: ${Object.keys(OPTIONS).join(", ")}.
${MOMENT_HELP}

Examples:
  heddle at 41 get route/catalog -n shop
  heddle at 2d who-can shop/payment
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
      const option = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
      if (entry === undefined) throw new UsageError(`unknown command '${name}'`);
      if (option === undefined) {
        throw new UsageError(`${name} has no past; these have: ${Object.keys(OPTIONS).join(", ")}`);
      }
      await runEntry(entry, [option, moment, ...own]);
    })
    .parseAsync(args, { from: "user" });
}
