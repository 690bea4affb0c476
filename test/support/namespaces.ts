/**
 * Hosts of a network of their own: network namespaces, joined by a bridge in one more, the hub. Nothing in them can reach
 * this machine's own network, nor be reached from it.
 */

import { mkdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Subnets, from which host `n` has the addresses `10.88.0.n` and `fd88::n`; the hub is 1. */
const IPV4 = "10.88.0.";
const IPV6 = "fd88::";
/** Where `ip netns exec` finds what a namespace has in place of files in /etc. */
const NAMES = "/etc/netns";

/** Why no namespaces can be made here; undefined: they can. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== "linux") return "only Linux has network namespaces";
  if (process.getuid?.() !== 0) return "only root may make network namespaces";
  const missing = ["ip", "iptables-restore", "ip6tables-restore", "setpriv"].find((name) => Bun.which(name) === null);
  if (missing !== undefined) return `${missing} is not installed`;
  return tryOut();
}

/** In a container, root may still lack the right, or the kernel the modules. */
function tryOut(): string | undefined {
  const name = `hdl${process.pid}try`;
  const add = Bun.spawnSync(["ip", "netns", "add", name]);
  if (add.exitCode !== 0) return `no network namespace can be made: ${add.stderr.toString().trim()}`;
  const inside = (...command: string[]) => Bun.spawnSync(["ip", "netns", "exec", name, ...command]);
  const attempts = [
    inside("ip", "link", "add", "br0", "type", "bridge"),
    inside("ip", "addr", "add", `${IPV6}1/64`, "dev", "lo"),
    inside("ip", "link", "add", "one", "type", "veth", "peer", "name", "other"),
    inside("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-m", "owner", "--uid-owner", "1", "-j", "REDIRECT"),
    inside(
      "ip6tables",
      "-t",
      "nat",
      "-A",
      "OUTPUT",
      "-p",
      "tcp",
      "-m",
      "addrtype",
      "--dst-type",
      "LOCAL",
      "-j",
      "RETURN",
    ),
    // Others than root run programs of this checkout in the tests.
    Bun.spawnSync(["setpriv", "--reuid", "31337", "--clear-groups", process.execPath, "--version"]),
    Bun.spawnSync(["setpriv", "--reuid", "31337", "--clear-groups", "test", "-r", import.meta.path]),
  ];
  Bun.spawnSync(["ip", "netns", "del", name]);
  const failed = attempts.find(({ exitCode }) => exitCode !== 0);
  return failed && `namespaces lack what is needed here: ${failed.stderr.toString().trim() || "unreadable checkout"}`;
}

export interface RunAs {
  /** Uid; root by default. */
  readonly user?: number;
}

export type HostChild = Bun.Subprocess<"ignore", "pipe", "pipe">;

export class Host {
  readonly ipv4: string;
  readonly ipv6: string;

  constructor(
    /** Of the namespace. */
    readonly name: string,
    number: number,
    private readonly children: Set<HostChild>,
  ) {
    this.ipv4 = `${IPV4}${number}`;
    this.ipv6 = `${IPV6}${number}`;
  }

  /** Starts a program on this host; it ends with the network. */
  start(command: readonly string[], { user = 0 }: RunAs = {}): HostChild {
    const as = user === 0 ? [] : ["setpriv", "--reuid", `${user}`, "--regid", `${user}`, "--clear-groups"];
    const child = Bun.spawn(["ip", "netns", "exec", this.name, ...as, ...command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.children.add(child);
    void child.exited.then(() => this.children.delete(child));
    return child;
  }

  /** Runs a program on this host and resolves with its standard output; throws where it fails. */
  async run(command: readonly string[], as?: RunAs): Promise<string> {
    const child = this.start(command, as);
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`${command.join(" ")} on ${this.name} ended with ${code}: ${err}${out}`);
    return out;
  }
}

export class Network {
  readonly #children: Set<HostChild>;
  readonly #namespaces: string[] = [];

  private constructor(
    readonly hub: Host,
    children: Set<HostChild>,
  ) {
    this.#children = children;
  }

  /** @param names of the hosts beside the hub; they are numbered from 2. */
  static async create<const N extends string>(
    names: readonly N[],
  ): Promise<{ network: Network; hosts: Record<N, Host> }> {
    const prefix = `hdl${process.pid}`;
    const children = new Set<HostChild>();
    const hub = new Host(`${prefix}hub`, 1, children);
    const network = new Network(hub, children);
    const entries = names.map((name, index) => [name, new Host(`${prefix}${name}`, index + 2, children)] as const);
    await network.#build(entries.map(([, host]) => host));
    return { network, hosts: Object.fromEntries(entries) as Record<N, Host> };
  }

  async #build(hosts: readonly Host[]): Promise<void> {
    const { hub } = this;
    for (const { name } of [hub, ...hosts]) {
      await ip("netns", "add", name);
      this.#namespaces.push(name);
      await ip("-n", name, "link", "set", "lo", "up");
    }
    await ip("-n", hub.name, "link", "add", "br0", "type", "bridge");
    for (const [index, host] of hosts.entries()) {
      const port = `port${index}`;
      await ip("-n", host.name, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", hub.name);
      await ip("-n", hub.name, "link", "set", port, "master", "br0", "up");
      await address(host, "eth0");
    }
    await address(hub, "br0");
  }

  /** Says what stands in `/etc/hosts` of a host. */
  async nameHosts(host: Host, lines: readonly string[]): Promise<void> {
    const folder = join(NAMES, host.name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "hosts"), `127.0.0.1 localhost\n${lines.join("\n")}\n`);
  }

  async destroy(): Promise<void> {
    const running = [...this.#children];
    for (const child of running) child.kill("SIGKILL");
    await Promise.all(running.map(({ exited }) => exited));
    for (const name of this.#namespaces) {
      await ip("netns", "del", name);
      await rm(join(NAMES, name), { recursive: true, force: true });
    }
    // Others may have hosts there as well.
    await rmdir(NAMES).catch(() => {});
  }
}

async function address({ name, ipv4, ipv6 }: Host, device: string): Promise<void> {
  await ip("-n", name, "addr", "add", `${ipv4}/24`, "dev", device);
  // Nobody else is on this network: an address need not be tried out before it is used.
  await ip("-n", name, "addr", "add", `${ipv6}/64`, "dev", device, "nodad");
  await ip("-n", name, "link", "set", device, "up");
}

async function ip(...args: string[]): Promise<void> {
  const child = Bun.spawn(["ip", ...args], { stdout: "ignore", stderr: "pipe" });
  const [err, code] = await Promise.all([child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`ip ${args.join(" ")}: ${err}`);
}
