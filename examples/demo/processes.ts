/** Starts the demo's processes, keeps what they print, and leaves none behind. */

import { closeSync, mkdirSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Hopeless } from "./until.ts";

export interface ProcessSpec {
  /** Unique among the demo's processes; names its log. */
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

interface Entry {
  readonly spec: ProcessSpec;
  readonly logFile: string;
  child: Bun.Subprocess;
  /** Its end is our doing. */
  ended: boolean;
}

/** Of the log of a process that ended, in what is said about it. */
const LOG_LINES = 3;
/** From SIGTERM to SIGKILL: longer than `heddle up` gives to what it has started, which would outlive it otherwise. */
const STOP_TIMEOUT_MS = 30_000;

export class Processes {
  readonly #logDirectory: string;
  readonly #entries = new Map<string, Entry>();
  #stopping = false;

  constructor(logDirectory: string) {
    this.#logDirectory = logDirectory;
    mkdirSync(logDirectory, { recursive: true });
  }

  /** Starts a process. Throws once `stopAll` was called: a step may still be under way when the demo is interrupted. */
  start(spec: ProcessSpec): void {
    if (this.#stopping) throw new Error(`${spec.name} is not started any more: the demo is ending`);
    const logFile = join(this.#logDirectory, `${spec.name}.log`);
    this.#entries.set(spec.name, { spec, logFile, child: spawn(spec, logFile), ended: false });
  }

  /** Kills a process outright: `kill -9`. Resolves with its id once it is gone. */
  async kill(name: string): Promise<number> {
    const entry = this.#entry(name);
    entry.ended = true;
    entry.child.kill("SIGKILL");
    await entry.child.exited;
    return entry.child.pid;
  }

  /** Starts a process that has ended again, exactly as before. */
  restart(name: string): void {
    const { spec } = this.#entry(name);
    this.start(spec);
  }

  /** Rejects with `Hopeless`, and the end of its log, where a process has ended that nobody ended. */
  async requireRunning(name: string): Promise<void> {
    const { child, ended, logFile } = this.#entry(name);
    if (ended || !hasEnded(child)) return;
    const log = (await readFile(logFile, "utf8")).trim().split("\n").slice(-LOG_LINES);
    throw new Hopeless(`${name} ended (${child.exitCode ?? child.signalCode}): ${log.join("\n")}`);
  }

  /** Rejects as `requireRunning` does for the first process that nobody ended. */
  async requireAllRunning(): Promise<void> {
    for (const name of this.#entries.keys()) await this.requireRunning(name);
  }

  /** Where each process's output is, those first that ended though nobody ended them. */
  logs(): string[] {
    const entries = [...this.#entries.values()];
    const failed = entries.filter(({ child, ended }) => !ended && hasEnded(child));
    return [...new Set([...failed, ...entries])].map(({ logFile }) => logFile);
  }

  /** Ends every process, `last` only when all others are gone. */
  async stopAll(last: string): Promise<void> {
    this.#stopping = true;
    const others = [...this.#entries.keys()].filter((name) => name !== last);
    await Promise.all(others.map((name) => this.#stop(name)));
    await this.#stop(last);
  }

  async #stop(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    if (entry === undefined || hasEnded(entry.child)) return;
    entry.ended = true;
    entry.child.kill("SIGTERM");
    const timer = setTimeout(() => entry.child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await entry.child.exited;
    clearTimeout(timer);
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new Error(`no process is called ${name}`);
    return entry;
  }
}

function hasEnded(child: Bun.Subprocess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function spawn({ command, env }: ProcessSpec, logFile: string): Bun.Subprocess {
  const log = openSync(logFile, "a");
  try {
    // Each in a process group of its own: Ctrl-C is for us, and we end them in order.
    return Bun.spawn([...command], { env, stdin: "ignore", stdout: log, stderr: log, detached: true });
  } finally {
    closeSync(log);
  }
}
