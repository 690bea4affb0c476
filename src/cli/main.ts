/**
 * The command line: which commands there are, and what becomes of their errors. Each command is a file of its own,
 * loaded when it is named and not before, so that `heddle version` does not wait for NATS.
 *
 * A command's file exports `run`. It gets a commander `Command` with nothing but its name, declares on it what it
 * takes, and lets it parse the arguments. It fails by throwing; it returns when it is done.
 */

import { Command, CommanderError } from "commander";
import { EXIT_FAILED, EXIT_USAGE, Failure, UsageError } from "./failure.ts";
import { VERSION } from "./program.ts";

export type Run = (command: Command, args: readonly string[]) => Promise<void>;

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly run: Run }>;
}

/** In the order that help shows. `allow` and `deny` share a file, and tell themselves apart by their name. */
const COMMANDS: readonly CommandEntry[] = [
  { name: "up", summary: "start a mesh on this machine: NATS and a control replica", load: () => import("./up.ts") },
  { name: "control", summary: "run a control replica", load: () => import("./control.ts") },
  { name: "sidecar", summary: "run the proxy beside one instance of a service", load: () => import("./sidecar.ts") },
  {
    name: "intercept",
    summary: "send the connections of this machine through its sidecar",
    load: () => import("./intercept.ts"),
  },
  { name: "token", summary: "make the credentials that a service's sidecars need", load: () => import("./token.ts") },
  { name: "apply", summary: "bring the mesh to what policy files say", load: () => import("./apply.ts") },
  { name: "get", summary: "show policy as it is, or as it was", load: () => import("./get.ts") },
  { name: "delete", summary: "remove policy documents", load: () => import("./delete.ts") },
  { name: "allow", summary: "let a service call another", load: () => import("./access.ts") },
  { name: "deny", summary: "forbid calls to a service", load: () => import("./access.ts") },
  { name: "shift", summary: "move traffic between the subsets of a service", load: () => import("./shift.ts") },
  { name: "log", summary: "show who changed what, when and why", load: () => import("./log.ts") },
  { name: "show", summary: "show one change in full", load: () => import("./show.ts") },
  { name: "rollback", summary: "bring policy back to an earlier revision", load: () => import("./rollback.ts") },
  { name: "status", summary: "show every instance and what it enforces", load: () => import("./status.ts") },
  { name: "wait", summary: "wait until a revision is enforced everywhere", load: () => import("./wait.ts") },
  { name: "version", summary: "show the version", load: () => import("./version.ts") },
];

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
      .command(entry.name)
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
    .argument("[command]")
    .action(async (name: string | undefined) => {
      const entry = COMMANDS.find((candidate) => candidate.name === name);
      if (entry !== undefined) return runEntry(entry, ["--help"]);
      if (name === undefined) root.help();
      throw new UsageError(`unknown command '${name}'`);
    });
  return root;
}

/** A command that throws rather than ends the process, and whose complaints look like ours. */
function newCommand(name: string): Command {
  return new Command(name).exitOverride().configureOutput({
    outputError: (text, write) => write(text.replace(/^error: (?:command-argument value )?/, "heddle: ")),
  });
}

async function runEntry({ name, load }: CommandEntry, args: readonly string[]): Promise<void> {
  const { run } = await load();
  await run(newCommand(`heddle ${name}`), args);
}

function report(error: unknown, env: NodeJS.ProcessEnv): number {
  if (error instanceof CommanderError) {
    // Commander has said it already. Help that was asked for is no error.
    return error.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  const debug = env.HEDDLE_DEBUG === "1";
  const text = error instanceof Error ? (debug ? error.stack : error.message) : String(error);
  if (text !== "") process.stderr.write(`heddle: ${text}\n`);
  return error instanceof Failure ? error.exitCode : EXIT_FAILED;
}

if (import.meta.main) {
  // `heddle log | head`: whoever reads has seen enough.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : EXIT_FAILED));
  const code = await main(process.argv.slice(2), process.env);
  // A command may have decided on its own code without an error to tell, as `wait` does.
  if (code !== 0) process.exitCode = code;
}
