/**
 * The command line: finds the command that is named, and says what becomes of its errors.
 */

import { type Command, CommanderError } from "commander";
import { nearest } from "../policy/nearest.ts";
import { COMMANDS, newCommand, runEntry } from "./commands.ts";
import { EXIT_FAILED, EXIT_USAGE, Failure, UsageError } from "./failure.ts";
import { safeLines } from "./output/safe-text.ts";
import { VERSION } from "./program.ts";
import { flushStandardStreams, guardStandardStreams } from "./standard-streams.ts";

/**
 * Runs one command line (without the program's own name) and resolves with the exit code: 0 done, 1 failed, 2 bad
 * usage. Errors go to the standard error.
 */
async function main(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  try {
    await program().parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    return report(error, env);
  }
}

function program(): Command {
  const root = newCommand("heddle")
    .description("A service mesh whose every decision can be traced, replayed and rolled back.")
    .usage("<command> [options]")
    .version(VERSION, "-V, --version", "show the version")
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .enablePositionalOptions()
    .helpCommand(false);
  for (const entry of COMMANDS) {
    root
      .command(entry.name, { hidden: entry.hidden === true })
      .summary(entry.summary)
      .argument("[args...]")
      // The command itself knows its options, `--help` among them; here they only pass through.
      .helpOption(false)
      .allowUnknownOption()
      .passThroughOptions()
      .action((own: string[]) => runEntry(entry, own));
  }
  root
    .command("help")
    .summary("show help for a command")
    .argument("[command...]", "such as apply, or fault inject")
    .action(async ([name, ...own]: string[]) => {
      const entry = COMMANDS.find((candidate) => candidate.name === name);
      if (entry !== undefined) return runEntry(entry, [...own, "--help"]);
      if (name === undefined) return root.help();
      const shown = COMMANDS.filter(({ hidden }) => hidden !== true).map((candidate) => candidate.name);
      const meant = nearest(name, shown);
      throw new UsageError(`unknown command '${name}'${meant === undefined ? "" : `\n(Did you mean ${meant}?)`}`);
    });
  return root;
}

function report(error: unknown, env: NodeJS.ProcessEnv): number {
  if (error instanceof CommanderError) {
    // Commander has said it already. Help that was asked for is no error.
    return error.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  const debug = env.HEDDLE_DEBUG === "1";
  const text = error instanceof Error ? (debug ? error.stack : error.message) : String(error);
  if (text !== "") process.stderr.write(safeLines(`heddle: ${text}\n`));
  return error instanceof Failure ? error.exitCode : EXIT_FAILED;
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  guardStandardStreams(COMMANDS.find(({ name }) => name === args[0])?.endsUnread === true);
  const code = await main(args, process.env);
  // A command may have decided on its own code without an error to tell, as `wait` does.
  if (code !== 0) {
    process.exitCode = code;
    // The client of NATS does not let go of a server that accepts connections and says nothing.
    await flushStandardStreams();
    process.exit();
  }
}
