/** `heddle ca`: the roots of the mesh, and the way from one to the next. */

import type { Command } from "commander";
import type { CommandBody } from "../../events/commands.ts";
import { MESH_NAMESPACE } from "../../policy/names.ts";
import { Failure } from "../failure.ts";
import { type ChangeOptions, changeOptions } from "../mesh/change-options.ts";
import { changeAtOnce } from "../mesh/change-report.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { note, type OutputFormat, outputOption, painter, print } from "../output/output.ts";
import { caBundle } from "./ca-bundle.ts";
import { caFederation } from "./ca-federation.ts";
import { caKeys } from "./ca-keys.ts";
import { type RotationView, rotationView, statusText } from "./ca-status.ts";

interface StatusOptions extends ConnectionOptions {
  readonly output: OutputFormat;
  readonly watch?: true;
}

interface RotateOptions extends ChangeOptions {
  readonly watch?: true;
}

/** Between two looks of `--watch`. */
const WATCH_EVERY_MS = 500;

const ROTATE_HELP = `
The control plane adds a new root, waits until every sidecar trusts it, lets it sign, waits until every sidecar has a
certificate under it, and retires the root of before. It goes on by itself, whatever becomes of this command or of a control
replica. Instances that are away are waited for until they are forgotten, ten minutes after their last word.

Example:
  heddle ca rotate --watch --reason "yearly change"
`;

type Action = Extract<CommandBody, { kind: "rotate-root" }>["action"];

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Show and change the roots that the mesh trusts.");
  const status = connectionOptions(outputOption(command.command("status")));
  status
    .description("Show the roots, and how far a change from one to the next has come.")
    .option("--watch", "until the change is over")
    .action((options: StatusOptions) => withOperator(options, (context) => showStatus(context, options)));
  changeOptions(command.command("rotate"))
    .description("Replace the root that signs, step by step, without cutting anybody off.")
    .option("--watch", "show each step, until it is over")
    .addHelpText("after", ROTATE_HELP)
    .action((options: RotateOptions) => change("start", options));
  changeOptions(command.command("pause"))
    .description("Take no further step for the time being.")
    .action((options: RotateOptions) => change("pause", options));
  changeOptions(command.command("resume"))
    .description("Go on with a change of roots that was paused.")
    .action((options: RotateOptions) => change("resume", options));
  changeOptions(command.command("abort"))
    .description("Go back to the root of before, and retire the new one.")
    .option("--watch", "show each step, until it is over")
    .action((options: RotateOptions) => change("abort", options));
  caBundle(command.command("bundle"));
  caKeys(command);
  caFederation(command);
  await command.parseAsync(args, { from: "user" });
}

async function change(action: Action, options: RotateOptions): Promise<void> {
  await withOperator(options, async (context) => {
    const command = { namespace: MESH_NAMESPACE, body: { kind: "rotate-root", action } } as const;
    await changeAtOnce(context, command, options);
    if (options.watch === true && options.dryRun !== true) await watch(context);
  });
}

async function showStatus(context: OperatorContext, { output, watch: watching }: StatusOptions): Promise<void> {
  if (watching === true) return watch(context);
  const view = await rotationView(context);
  print(output, view, () => statusText(view, painter(process.stdout), Date.now()));
}

/** Says on the standard error what changes, until no change of roots is under way. */
async function watch(context: OperatorContext): Promise<void> {
  let said = "";
  for (;;) {
    const view = await rotationView(context).catch((error: unknown) => {
      // A replica that dies on the way is replaced by another one; the ledger remembers.
      if (error instanceof Failure) note(error.message);
      else throw error;
    });
    const text = view === undefined ? said : stepText(view);
    if (text !== said) note(text);
    said = text;
    if (view !== undefined && view.rotation === null) return;
    await Bun.sleep(WATCH_EVERY_MS);
  }
}

function stepText({ roots, rotation }: RotationView): string {
  const active = roots.find(({ status }) => status === "active")?.fingerprint.slice(0, 12) ?? "none";
  if (rotation === null) return `no change of roots is under way; ${active} signs`;
  const { step, waiting } = rotation;
  const [first] = waiting;
  const more = waiting.length > 1 ? `, and ${waiting.length - 1} more` : "";
  const reason = first === undefined ? "" : `: ${first.service} ${first.instance} ${first.why}${more}`;
  return `${step}${reason}`;
}
