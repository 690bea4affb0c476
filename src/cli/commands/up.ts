/** `heddle up`: a whole mesh on one machine, from nothing or from where it was left. */

import { join } from "node:path";
import type { Command } from "commander";
import { MESH_DEFAULTS } from "../../events/state.ts";
import { PermissionDenied } from "../../nats/bus.ts";
import { connectBus } from "../../nats/connection.ts";
import { createDirectory, type Directory, openDirectory } from "../../nats/directory.ts";
import { TRUST_DOMAIN } from "../../policy/names.ts";
import { Failure, UsageError } from "../failure.ts";
import { parseAddress } from "../input/address.ts";
import { operatorNameProblem, parseOperatorName } from "../input/operator-name.ts";
import { directoryPath, isDefaultDirectory, requireWholeLedger } from "../mesh/context.ts";
import { note, painter, printText } from "../output/output.ts";
import { startControlChild } from "../processes/control-child.ts";
import { stopRequested } from "../processes/stop-signals.ts";
import { type SupervisedChild, Supervisor } from "../processes/supervisor.ts";
import { checkServerOptions, serverLauncher, type UpServerOptions } from "../processes/up-server.ts";

const LOOPBACK = "127.0.0.1";
/** Who the first operator is where the system does not say who its user is. */
const DEFAULT_OPERATOR = "admin";

interface Options extends UpServerOptions {
  readonly dir?: string;
  readonly operator?: string;
  readonly trustDomain?: string;
  readonly controlListen?: string;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await command
    .description("Start a mesh on this machine: NATS and a control replica. What it holds outlives it.")
    .option("--dir <directory>", "where its state is (default: $HEDDLE_DIR or ./.heddle)")
    .option("--operator <name>", "name of the first operator, who may do anything (default: $USER)", parseOperatorName)
    .option("--trust-domain <domain>", `trust domain of a new mesh (default: ${MESH_DEFAULTS.trustDomain})`)
    .option("--port <port>", "port of NATS; 0: any (default: the last one, else 4222 or any)")
    .option(
      "--listen <host>",
      "where NATS listens; beyond loopback always with TLS (default: the last, else 127.0.0.1)",
    )
    .option("--advertise <host>", "name or address under which others find it (default: found out)")
    .option("--tls-cert <file>", "PEM of NATS's own certificate, with --tls-key (default: one that is made)")
    .option("--tls-key <file>", "PEM of its key")
    .option("--tls-ca <file>", "PEM of the authority that signed it, for whoever connects")
    .option("--control-listen <address>", "/metrics and /healthz of control (default: 127.0.0.1:15014)")
    .option("--nats-url <url>", "use this NATS, from now on, and start none; it must trust the directory's keys")
    .option("--creds <file>", "credentials of a control user there, instead of the directory's")
    .action((options: Options) => up(options))
    .parseAsync(args, { from: "user" });
}

async function up(options: Options): Promise<void> {
  const stopping = stopRequested().signal;
  if (options.controlListen !== undefined) parseAddress(options.controlListen, "--control-listen", LOOPBACK);
  await checkServerOptions(options);
  const directory = await openOrCreate(options);
  requireWholeLedger(directory);
  const running: Supervisor[] = [];
  const supervise = async (name: string, launch: () => Promise<SupervisedChild>): Promise<void> => {
    const say = (message: string): void => note(`heddle: ${message}`);
    running.push(await Supervisor.start({ name, launch, note: say, random: Math.random }));
  };
  try {
    const launchServer = await serverLauncher(directory, options);
    if (launchServer !== undefined) await supervise("nats-server", launchServer);
    let metricsUrl = "";
    if (!stopping.aborted) {
      await supervise("the control replica", async () => {
        const logPath = join(directory.path, "control.log");
        const child = await startControlChild({ args: controlArguments(directory, options), logPath });
        metricsUrl = child.url;
        return child;
      });
    }
    if (!stopping.aborted) {
      printText(await greeting(directory, metricsUrl));
      await new Promise<void>((ended) => stopping.addEventListener("abort", () => ended()));
    }
    note("heddle: stopping");
  } catch (error) {
    throw new Failure(`the mesh did not start: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    // Control first: it takes leave of the server.
    await Supervisor.stopInTurn(running.reverse());
  }
  process.exit(0);
}

async function openOrCreate({ dir, operator, trustDomain }: Options): Promise<Directory> {
  const path = directoryPath(dir);
  if (trustDomain !== undefined && !TRUST_DOMAIN.test(trustDomain)) {
    throw new UsageError(`--trust-domain: '${trustDomain}' is none: lower-case letters, digits, dots, - and _`);
  }
  const existing = await openDirectory(path);
  if (existing === undefined) {
    const name = operator ?? userName(process.env) ?? DEFAULT_OPERATOR;
    return createDirectory(path, { trustDomain: trustDomain ?? MESH_DEFAULTS.trustDomain, operator: name });
  }
  const known = existing.context.trustDomain;
  if (trustDomain !== undefined && trustDomain !== known) {
    throw new UsageError(`the mesh in ${existing.path} is ${known}, not ${trustDomain}: use another --dir`);
  }
  const { name } = await existing.operatorCredentials();
  if (operator !== undefined && operator !== name) {
    throw new UsageError(`the operator of the mesh in ${existing.path} is ${name}, not ${operator}: use another --dir`);
  }
  return existing;
}

/** Who the system says its user is, where an operator can be called so. */
function userName({ USER, LOGNAME }: NodeJS.ProcessEnv): string | undefined {
  return [USER, LOGNAME].find((name) => name !== undefined && operatorNameProblem(name) === undefined);
}

function controlArguments(directory: Directory, { controlListen }: Options): string[] {
  return ["--dir", directory.path, ...(controlListen === undefined ? [] : ["--listen", controlListen])];
}

/** The operator whose credentials the directory has, who may have been revoked since they were made. */
async function operatorFact(directory: Directory): Promise<string> {
  const credentials = await directory.operatorCredentials();
  const { name } = credentials;
  const server = await directory.server();
  if (server === undefined) return name;
  try {
    await (await connectBus({ ...server, credentials, name: "heddle up", onError: () => {} })).close();
  } catch (error) {
    if (error instanceof PermissionDenied) return `${name}, who is revoked: commands need the --creds of another one`;
  }
  return `${name} (admin)`;
}

async function greeting(directory: Directory, metricsUrl: string): Promise<string> {
  const paint = painter(process.stdout);
  const isDefault = isDefaultDirectory(directory);
  const facts = [
    ["mesh", directory.context.trustDomain],
    ["operator", await operatorFact(directory)],
    ["state", directory.path],
    ["NATS", directory.context.url ?? ""],
    ...(directory.context.publicUrl === undefined ? [] : [["", `${directory.context.publicUrl} for others`]]),
    ["metrics", `${metricsUrl}/metrics`],
  ];
  const commands = [
    ...(isDefault ? [] : [`export HEDDLE_DIR=${directory.path}`]),
    "heddle apply -f policy.yaml",
    "heddle sidecar --service shop/orders --app 127.0.0.1:8080",
    "heddle status",
  ];
  return [
    paint("bold", "Heddle is up."),
    "",
    ...facts.map(([fact = "", value = ""]) => `  ${paint("dim", fact.padEnd(8))}  ${value}`),
    "",
    "Next, in another terminal:",
    "",
    ...commands.map((command) => `  ${command}`),
    "",
    "Ctrl-C stops it; `heddle up` goes on from where it was.",
  ].join("\n");
}
