/** `heddle intercept`: sends the connections of this machine, or of this network namespace, through its sidecar. */

import type { Command } from "commander";
import {
  type AddressFamily,
  type InterceptionRules,
  installScript,
  isNetwork,
  removeScript,
} from "../../proxy/intercept/rules.ts";
import { Failure, UsageError } from "../failure.ts";
import { portNumber } from "../input/address.ts";
import { note, printText } from "../output/output.ts";
import { addressFamilies, requireIptables, restoreNat, saveNat } from "../processes/iptables.ts";

interface Options {
  readonly user?: string;
  readonly inboundPort: string;
  readonly outboundPort: string;
  readonly excludePorts: string;
  readonly excludeCidrs: string;
  readonly includeInboundPorts: string;
  readonly remove: boolean;
  readonly dryRun: boolean;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await command
    .description("Send the TCP connections of this machine through its sidecar, by iptables. Replaces what was there.")
    .option("--user <uid|name>", "the sidecar's own user, whose connections are left alone")
    .option("--inbound-port <port>", "where the sidecar takes in peers", "15006")
    .option("--outbound-port <port>", "where it takes in the calls of applications", "15001")
    .option("--exclude-ports <ports>", "ports to leave alone both ways, such as 4222,9100; 22 always is", "")
    .option("--exclude-cidrs <networks>", "destinations to leave alone, such as 10.9.0.0/16,fd00:9::/32", "")
    .option("--include-inbound-ports <ports>", "ports at which peers are taken in, or *", "*")
    .option("--remove", "remove every rule of Heddle", false)
    .option("--dry-run", "print what would be given to iptables-restore, and change nothing", false)
    .addHelpText(
      "after",
      "\nExample:\n  sudo heddle intercept --user heddle\n" +
        "  sudo -u heddle heddle sidecar --intercept --service shop/orders --app 127.0.0.1:8080\n" +
        "\nLoopback, UDP, DNS, SSH and the sidecar's own pages are left alone. Connections that stand stay as they are.",
    )
    .action((options: Options) => (options.remove ? remove(options) : install(options)))
    .parseAsync(args, { from: "user" });
}

/** One transaction for each family that has something to change. */
type Scripts = ReadonlyMap<AddressFamily, string>;

async function install(options: Options): Promise<void> {
  const rules = await parseRules(options);
  const families = addressFamilies();
  if (options.dryRun) {
    // As on a machine without rules of ours: whoever only wants to read them needs no rights.
    show(new Map(families.map((family) => [family, installScript(rules, family, "")])));
    return;
  }
  await requireIptables(families);
  const isFirst = (await removals(families)).size === 0;
  const scripts = new Map<AddressFamily, string>();
  for (const family of families) scripts.set(family, installScript(rules, family, await saveNat(family)));
  await change(scripts).catch(async (error: unknown) => {
    // One family intercepted and the other not would be worse than neither, for nobody would notice.
    if (isFirst) await change(await removals(families)).catch(() => {});
    throw error;
  });
  const { sidecarUser, outboundPort, inboundPort } = rules;
  note(`heddle: TCP goes out by ${outboundPort} (but for uid ${sidecarUser}) and comes in by ${inboundPort}`);
}

async function remove({ dryRun }: Options): Promise<void> {
  const families = addressFamilies();
  await requireIptables(families);
  const scripts = await removals(families);
  if (dryRun) return show(scripts);
  await change(scripts);
  note(scripts.size === 0 ? "heddle: there were no rules" : "heddle: rules removed");
}

async function removals(families: readonly AddressFamily[]): Promise<Scripts> {
  const scripts = new Map<AddressFamily, string>();
  for (const family of families) {
    const script = removeScript(await saveNat(family));
    if (script !== undefined) scripts.set(family, script);
  }
  return scripts;
}

async function change(scripts: Scripts): Promise<void> {
  for (const [family, script] of scripts) await restoreNat(family, script);
}

function show(scripts: Scripts): void {
  for (const [family, script] of scripts) {
    printText(`# ${family === "ipv4" ? "iptables" : "ip6tables"}-restore --noflush\n${script}`);
  }
}

async function parseRules(options: Options): Promise<InterceptionRules> {
  const { user, inboundPort, outboundPort, excludePorts, excludeCidrs, includeInboundPorts } = options;
  if (user === undefined) throw new UsageError("--user is missing: the user that the sidecar runs as, or --remove");
  const networks = list(excludeCidrs);
  const wrong = networks.find((network) => !isNetwork(network));
  if (wrong !== undefined) throw new UsageError(`--exclude-cidrs: '${wrong}' is no network such as 10.9.0.0/16`);
  return {
    sidecarUser: await userId(user),
    inboundPort: interceptedPort(inboundPort, "--inbound-port"),
    outboundPort: interceptedPort(outboundPort, "--outbound-port"),
    inboundPorts: includeInboundPorts === "*" ? undefined : parsePorts(includeInboundPorts, "--include-inbound-ports"),
    excludedPorts: parsePorts(excludePorts, "--exclude-ports"),
    excludedNetworks: networks,
  };
}

/** The uid behind a name, as the system (and whatever directory it asks) knows it. */
async function userId(user: string): Promise<number> {
  const id = /^\d{1,10}$/.test(user) ? Number(user) : await lookUp(user);
  if (id === 0) {
    throw new UsageError(
      "--user: root is everybody's, and would lead past the mesh: give the sidecar a user of its own",
    );
  }
  return id;
}

async function lookUp(user: string): Promise<number> {
  const child = Bun.spawn(["id", "-u", "--", user], { stdout: "pipe", stderr: "ignore" });
  const text = (await new Response(child.stdout).text()).trim();
  if ((await child.exited) !== 0 || !/^\d+$/.test(text)) {
    throw new Failure(`--user: there is no user '${user}' here: useradd --system ${user}`);
  }
  return Number(text);
}

function parsePorts(text: string, option: string): number[] {
  return list(text).map((port) => interceptedPort(port, option));
}

function interceptedPort(text: string, option: string): number {
  const port = portNumber(text) ?? 0;
  if (port === 0) throw new UsageError(`${option}: '${text}' is no port; write one from 1 to 65535`);
  return port;
}

function list(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
