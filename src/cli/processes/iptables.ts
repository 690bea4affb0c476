/** iptables, run at the edge: what the table `nat` holds, and transactions upon it, for IPv4 and IPv6. */

import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { AddressFamily } from "../../proxy/intercept/rules.ts";
import { Failure } from "../failure.ts";

/** Bit of `CapEff` (capabilities(7)). */
const CAP_NET_ADMIN = 12n;
/** How long to wait for another who changes the tables, in seconds. */
const LOCK_WAIT_S = 5;

const PREFIX: Readonly<Record<AddressFamily, string>> = { ipv4: "iptables", ipv6: "ip6tables" };
const INSTALL_HINT = "install it: apt-get install iptables, dnf install iptables-nft or apk add iptables";

/** Where administration's programs are, even for those whose PATH leaves it out. */
const PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;

/** The families that this machine speaks: IPv6 may be missing from the kernel, or switched off on every interface. */
export function addressFamilies(): AddressFamily[] {
  const interfaces = "/proc/net/if_inet6";
  return existsSync(interfaces) && readFileSync(interfaces, "utf8") !== "" ? ["ipv4", "ipv6"] : ["ipv4"];
}

/** Throws `Failure` where we may not change the tables, or where there is nothing to change them with. */
export async function requireIptables(families: readonly AddressFamily[]): Promise<void> {
  if (process.platform !== "linux") throw new Failure("interception is made of iptables rules, which only Linux has");
  const status = await readFile("/proc/self/status", "utf8");
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  if ((capabilities & (1n << CAP_NET_ADMIN)) === 0n) {
    throw new Failure("changing iptables needs CAP_NET_ADMIN: run as root, or in a container with --cap-add NET_ADMIN");
  }
  const missing = families
    .flatMap((family) => [`${PREFIX[family]}-save`, `${PREFIX[family]}-restore`])
    .find((program) => Bun.which(program, { PATH }) === null);
  if (missing !== undefined) throw new Failure(`${missing} is not there; ${INSTALL_HINT}`);
}

/** The table `nat` as text. Throws `Failure` with what iptables said. */
export function saveNat(family: AddressFamily): Promise<string> {
  return runProgram([`${PREFIX[family]}-save`, "-t", "nat"], "");
}

/** Runs a transaction: all of it, or nothing. Throws `Failure` with what iptables said. */
export async function restoreNat(family: AddressFamily, script: string): Promise<void> {
  await runProgram([`${PREFIX[family]}-restore`, "--noflush", "--wait", String(LOCK_WAIT_S)], script);
}

async function runProgram(command: readonly string[], input: string): Promise<string> {
  const env = { ...process.env, PATH };
  const child = Bun.spawn([...command], {
    env,
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Failure(`${command[0]} failed: ${stderr.trim() || `exit code ${code}`}`);
  return stdout;
}
