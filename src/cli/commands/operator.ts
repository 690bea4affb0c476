/** `heddle operator`: who may command the mesh. */

import { type Command, Option } from "commander";
import type { CommandBody } from "../../events/commands.ts";
import { OPERATOR_ROLES, type OperatorRole } from "../../events/domain-events.ts";
import type { Operator } from "../../events/state.ts";
import { createUserKey } from "../../nats/keys.ts";
import { MESH_NAMESPACE } from "../../policy/names.ts";
import { Failure, UsageError } from "../failure.ts";
import { confirm } from "../input/confirm.ts";
import type { Moment } from "../input/moment.ts";
import { parseOperatorName } from "../input/operator-name.ts";
import { collect, parseNamespace, reasonOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { fetchCredentials, handOver, reportRevoked, requireOut } from "../mesh/grant.ts";
import { currentState } from "../mesh/known-mesh.ts";
import { atOption, meshAt } from "../mesh/moment-argument.ts";
import { sendDirectly } from "../mesh/proposal.ts";
import { note, type OutputFormat, outputOption, print, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface AddOptions extends ConnectionOptions {
  readonly role: OperatorRole;
  readonly namespace?: readonly string[];
  readonly out?: string;
  readonly reason: string;
}

interface RevokeOptions extends ConnectionOptions {
  readonly yes?: true;
  readonly myself?: true;
  readonly reason: string;
}

interface ListOptions extends ConnectionOptions {
  readonly output: OutputFormat;
  readonly at?: Moment;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Say who may change the mesh, and who may only look.");
  addCommand(command.command("add"));
  connectionOptions(atOption(outputOption(command.command("list"))))
    .description("Show who may do what.")
    .action((options: ListOptions) => list(options));
  connectionOptions(reasonOption(command.command("revoke")))
    .description("Shut an operator out: the key is void for good, and open connections end.")
    .argument("<name>", "as `heddle operator list` shows it")
    .option("-y, --yes", "do not ask")
    .option("--myself", "with --yes: shut out even whom these credentials are of")
    .action((name: string, options: RevokeOptions) => revoke(name, options));
  await command.parseAsync(args, { from: "user" });
}

function addCommand(command: Command): void {
  connectionOptions(reasonOption(command))
    .description("Let somebody in, with a key of their own. Their commands are signed with it.")
    .argument("<name>", "who, as the history will call them", parseOperatorName)
    .addOption(
      new Option("--role <role>", "admin: everything; editor: policy of some namespaces; viewer: look")
        .choices(OPERATOR_ROLES)
        .makeOptionMandatory(),
    )
    .option("-n, --namespace <namespace>", "what an editor may change; may be repeated", collectNamespace)
    .option("--out <file>", "write the credentials there, for their owner only (default: the standard output)")
    .addHelpText("after", "\nExample:\n  heddle operator add alice --role editor --namespace shop --out alice.creds")
    .action((name: string, options: AddOptions) => add(name, options));
}

function collectNamespace(text: string, before: readonly string[] | undefined): readonly string[] {
  return collect(parseNamespace(text), before);
}

async function add(name: string, options: AddOptions): Promise<void> {
  const { role, namespace: namespaces = [], reason, out } = options;
  if (role === "editor" && namespaces.length === 0)
    throw new UsageError("--namespace: name what the editor may change");
  await requireOut(out);
  const key = createUserKey();
  await withOperator(options, async (context) => {
    const { publicKey } = key;
    const body: CommandBody = { kind: "operator-add", name, publicKey, role, namespaces: [...namespaces] };
    const { decided } = await sendDirectly(context, { namespace: MESH_NAMESPACE, body }, { reason, dryRun: false });
    note(`added ${name} as ${role} (revision ${decided.revision})`);
    const undo = `heddle operator revoke ${name}`;
    await handOver(await fetchCredentials(context, { name, key, undo }), out);
  });
}

const ITS_YOU = " That is you: these credentials are void from then on.";

async function revoke(name: string, options: RevokeOptions): Promise<void> {
  const { reason, yes, myself } = options;
  await withOperator(options, async (context) => {
    const { operators } = await currentState(context);
    const operator = [...operators.values()].find((known) => known.name === name);
    if (operator === undefined) throw new Failure(`there is no operator ${name}: see \`heddle operator list\``);
    const isOneself = operator.publicKey === context.credentials.publicKey;
    if (yes !== true) await confirm(`Shut ${name} (${operator.role}) out for good?${isOneself ? ITS_YOU : ""}`);
    else if (isOneself && myself !== true) {
      throw new Failure(
        `nothing was changed: ${name} is you, and these credentials would be void; say --myself as well`,
      );
    }
    const command = { namespace: MESH_NAMESPACE, body: { kind: "operator-revoke", name } } as const;
    const { decided } = await sendDirectly(context, command, { reason, dryRun: false });
    note(`revoked ${name} (revision ${decided.revision})`);
    const admins = [...operators.values()].filter((other) => other.role === "admin" && other !== operator);
    const [last] = admins;
    if (operator.role === "admin" && last !== undefined && admins.length === 1) {
      note(`${last.name} is the only admin left: if that key is lost, nobody can let anybody in (heddle operator add)`);
    }
    // An operator who revoked its own key can ask nothing any more.
    if (isOneself) return;
    await reportRevoked(context, operator.publicKey, name);
  });
}

async function list(options: ListOptions): Promise<void> {
  await withOperator(options, async (context) => {
    const { operators } = (await meshAt(context, options.at)).state;
    const rows = [...operators.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    print(options.output, rows, () => operatorTable(rows, context.credentials.publicKey));
  });
}

function operatorTable(operators: readonly Operator[], own: string): string {
  const reach = ({ role, namespaces }: Operator): string => {
    if (role === "editor") return namespaces.join(", ");
    return role === "admin" ? "all" : "none";
  };
  const rows = operators.map((operator) => [
    `${safeText(operator.name)}${operator.publicKey === own ? " (you)" : ""}`,
    operator.role,
    safeText(reach(operator)),
    operator.publicKey,
  ]);
  return table(["name", "role", "may change", "key"], rows);
}
