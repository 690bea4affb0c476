/** `heddle completion`: what makes a shell complete this command line, written from what the commands declare. */

import { Argument, type Command, CommanderError } from "commander";
import { COMMANDS, type CommandEntry, newCommand } from "../commands.ts";
import { printText } from "../output/output.ts";

const HELP = `
Example:
  source <(heddle completion bash)               # in ~/.bashrc
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await command
    .description("Print what makes a shell complete commands, subcommands and options.")
    .addArgument(new Argument("<shell>", "whose language it is to be").choices(["bash"]))
    .addHelpText("after", HELP)
    .action(async () => {
      const shown = COMMANDS.filter(({ hidden }) => hidden !== true);
      const declared = await Promise.all(shown.map(async (entry) => offersOf(await declaration(entry), entry.name)));
      const names = [...shown.map(({ name }) => name), "help"];
      const all = [...declared.flat(), { path: "help", names, options: [] }];
      printText(bashScript(all, { path: "", names, options: ["--help", "--version"] }));
    })
    .parseAsync(args, { from: "user" });
}

/** What may follow the words of a path, such as `fault inject`. */
interface Offer {
  readonly path: string;
  readonly names: readonly string[];
  readonly options: readonly string[];
}

/** A command as it declares itself. Asked for its help it says no word, since nobody listens, and does nothing else. */
async function declaration({ name, load }: CommandEntry): Promise<Command> {
  const command = newCommand(`heddle ${name}`).configureOutput({ writeOut() {}, writeErr() {} });
  const { run: declare } = await load();
  await declare(command, ["--help"]).catch((error: unknown) => {
    if (!(error instanceof CommanderError)) throw error;
  });
  return command;
}

/** Of a command and its subcommands; those first, being the longer paths. */
function offersOf(command: Command, path: string): Offer[] {
  const options = command.options.flatMap(({ long, hidden }) => (long === undefined || hidden ? [] : [long]));
  const names = command.commands.map((own) => own.name());
  return [
    ...command.commands.flatMap((own) => offersOf(own, `${path} ${own.name()}`)),
    { path, names, options: [...options, "--help"] },
  ];
}

/** Bash of any version since 4. Where there is nothing to offer, it offers files as it always does. */
function bashScript(offers: readonly Offer[], root: Offer): string {
  const rows = [...offers.map((offer) => row(`"${offer.path} "*`, offer)), row("*", root)];
  return `# Completes heddle in bash: source <(heddle completion bash)
_heddle() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path= word names options
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) path+="$word " ;; esac
  done
  case $path in
${rows.join("\n")}
  esac
  case $cur in -*) names=$options ;; esac
  COMPREPLY=($(compgen -W "$names" -- "$cur"))
}
complete -o default -F _heddle heddle`;
}

/** Names of commands and options: nothing in them means anything to a shell. */
function row(pattern: string, { names, options }: Offer): string {
  return `    ${pattern}) names="${names.join(" ")}" options="${options.join(" ")}" ;;`;
}
