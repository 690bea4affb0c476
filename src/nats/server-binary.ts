/** Where the `nats-server` program is, or how to get it. */

import { readFile } from "node:fs/promises";

/** Direct get, which sidecars read their snapshot with, came with 2.9. */
const VERSION_MIN = [2, 9] as const;

/** Seconds to wait for another package manager to let go of its lock. */
const APT_LOCK_TIMEOUT_S = 120;

export interface ServerBinary {
  readonly path: string;
  /** `major.minor.patch`. */
  readonly version: string;
}

/**
 * Finds nats-server: `HEDDLE_NATS_SERVER`, then PATH; failing both, installs it where that is safe to do unasked
 * (Debian family, as root, which in practice is a container). Rejects with what to do when there is none, or when it
 * is older than 2.9. Progress of an installation goes to stderr.
 */
export async function findServerBinary(env: Readonly<Record<string, string | undefined>>): Promise<ServerBinary> {
  const named = env.HEDDLE_NATS_SERVER;
  if (named !== undefined && named !== "") return inspect(named);
  const found = whichServer(env);
  if (found !== undefined) return inspect(found);
  const system = await describeSystem();
  if (system.debianFamily && process.getuid?.() === 0) {
    await installWithApt(env);
    const installed = whichServer(env);
    if (installed !== undefined) return inspect(installed);
  }
  throw new Error(`nats-server was not found.\n${advice(system)}`);
}

/** Whether `version` is at least `major.minor`. */
export function versionAtLeast(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function whichServer(env: Readonly<Record<string, string | undefined>>): string | undefined {
  // Debian puts daemons into /usr/sbin, which is not on everybody's PATH.
  const path = `${env.PATH ?? ""}:/usr/local/sbin:/usr/sbin`;
  return Bun.which("nats-server", { PATH: path }) ?? undefined;
}

async function inspect(path: string): Promise<ServerBinary> {
  const output = await versionOutput(path);
  const version = /v?(\d+\.\d+\.\d+)/.exec(output)?.[1];
  if (version === undefined) throw new Error(`${path} is not nats-server: --version printed ${JSON.stringify(output)}`);
  if (!versionAtLeast(version, ...VERSION_MIN)) {
    throw new Error(`${path} is nats-server ${version}; Heddle needs ${VERSION_MIN.join(".")} or newer.`);
  }
  return { path, version };
}

async function versionOutput(path: string): Promise<string> {
  try {
    const child = Bun.spawn([path, "--version"], { stdout: "pipe", stderr: "ignore", stdin: "ignore" });
    return (await child.stdout.text()).trim();
  } catch (cause) {
    throw new Error(`${path} cannot be run: ${(cause as Error).message}`, { cause });
  }
}

/** Installs Debian's package. A failure is not fatal here: the caller looks again and gives advice. */
async function installWithApt(env: Readonly<Record<string, string | undefined>>): Promise<void> {
  process.stderr.write("heddle: nats-server was not found; installing Debian's package nats-server\n");
  const lock = ["-o", `DPkg::Lock::Timeout=${APT_LOCK_TIMEOUT_S}`];
  // A failed update (one mirror away, the lists locked) need not keep the package from being installed.
  await runApt(["apt-get", "update", "-q", ...lock], env);
  await runApt(["apt-get", "install", "-q", "-y", "--no-install-recommends", ...lock, "nats-server"], env);
}

async function runApt(command: string[], env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const child = Bun.spawn(command, {
    env: { ...env, DEBIAN_FRONTEND: "noninteractive" },
    stdin: "ignore",
    // stdout belongs to what the user asked for; an installation is progress.
    stdout: 2,
    stderr: 2,
  });
  await child.exited;
}

interface System {
  readonly platform: NodeJS.Platform;
  readonly debianFamily: boolean;
  readonly fedoraFamily: boolean;
  readonly nixos: boolean;
}

async function describeSystem(): Promise<System> {
  const release = process.platform === "linux" ? await readFile("/etc/os-release", "utf8").catch(() => "") : "";
  const families = new Set(
    [...release.matchAll(/^(?:ID|ID_LIKE)="?([^"\n]*)"?$/gm)].flatMap(([, names]) => (names ?? "").split(" ")),
  );
  return {
    platform: process.platform,
    debianFamily: families.has("debian") || families.has("ubuntu"),
    fedoraFamily: families.has("fedora") || families.has("rhel"),
    nixos: families.has("nixos"),
  };
}

function advice(system: System): string {
  const release = "https://github.com/nats-io/nats-server/releases";
  const byHand = `Download a release from ${release} and set HEDDLE_NATS_SERVER to the program's path.`;
  if (system.platform === "darwin") return `Install it with: brew install nats-server\nOr: ${byHand}`;
  if (system.debianFamily) return `Install it with: sudo apt-get install nats-server\nOr: ${byHand}`;
  if (system.nixos) return `Install it with: nix-env -iA nixos.nats-server\nOr: ${byHand}`;
  if (system.fedoraFamily) return `Fedora and RHEL do not package it. ${byHand}`;
  return byHand;
}
