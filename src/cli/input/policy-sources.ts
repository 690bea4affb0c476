/** Reads the policy files that a command line names: files, folders and `-` for standard input. */

import { createReadStream, type Dirent, type Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { FILE_BYTES_MAX, type PolicySource } from "../../policy/parse.ts";
import type { Problem } from "../../policy/problems.ts";
import { err, ok, type Result } from "../../policy/result.ts";
import { positionsOf } from "../../policy/yaml-text.ts";

/** How a command line says standard input, and the name that problems in it are reported under. */
const STDIN_ARGUMENT = "-";
const STDIN_NAME = "(standard input)";

const POLICY_FILE = /\.(?:yaml|yml|json)$/i;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "cannot be read: permission denied",
  ELOOP: "cannot be read: its symbolic links lead in a circle",
};

/** Bytes as they come, such as `process.stdin`. */
export type ByteStream = AsyncIterable<Uint8Array>;

/**
 * Reads every file once, however often and by whichever links it is named, in the order of the arguments: folders
 * recursively, in the order of names, hidden entries left out. Reports everything that cannot be read at once.
 */
export async function readPolicySources(
  args: readonly string[],
  stdin: ByteStream,
): Promise<Result<PolicySource[], Problem[]>> {
  const reading = new Reading(stdin);
  for (const argument of args) await reading.argument(argument);
  return reading.problems.length === 0 ? ok(reading.sources) : err(reading.problems);
}

class Reading {
  readonly sources: PolicySource[] = [];
  readonly problems: Problem[] = [];
  /** Device and inode of what has been read. */
  readonly #files = new Set<string>();
  /** By device and inode: the policy files found below a folder so far, which is none while a loop leads back to it. */
  readonly #folders = new Map<string, number>();

  constructor(private readonly stdin: ByteStream) {}

  async argument(argument: string): Promise<void> {
    await this.#attempt(argument === STDIN_ARGUMENT ? STDIN_NAME : argument, async () => {
      if (argument === STDIN_ARGUMENT) return this.#file(STDIN_NAME, STDIN_ARGUMENT, () => this.stdin);
      const stats = await stat(argument);
      // Whatever else has a name may be read: `<(…)` of a shell is a pipe.
      if (!stats.isDirectory()) return this.#file(argument, identityOf(stats), () => createReadStream(argument));
      const found = await this.#folder(argument, identityOf(stats));
      if (found === 0) this.#refuse(argument, "holds no *.yaml, *.yml or *.json file");
    });
  }

  async #folder(folder: string, identity: string): Promise<number> {
    const known = this.#folders.get(identity);
    if (known !== undefined) return known;
    this.#folders.set(identity, 0);
    const entries = await readdir(folder, { withFileTypes: true });
    let found = 0;
    for (const entry of entries.sort(byName)) {
      if (entry.name.startsWith(".")) continue;
      const path = join(folder, entry.name);
      await this.#attempt(path, async () => {
        found += await this.#entry(path);
      });
    }
    this.#folders.set(identity, found);
    return found;
  }

  /** @returns how many policy files the entry of a folder stands for. */
  async #entry(path: string): Promise<number> {
    const isPolicy = POLICY_FILE.test(path);
    const stats = await stat(path).catch((error: unknown) => {
      // A broken link beside the policy files is none of our business.
      if (isPolicy) throw error;
    });
    if (stats === undefined) return 0;
    if (stats.isDirectory()) return this.#folder(path, identityOf(stats));
    if (!isPolicy || !stats.isFile()) return 0;
    await this.#file(path, identityOf(stats), () => createReadStream(path));
    return 1;
  }

  async #file(name: string, identity: string, open: () => ByteStream): Promise<void> {
    if (this.#files.has(identity)) return;
    this.#files.add(identity);
    const bytes = await readBounded(open());
    if (bytes === undefined) {
      return this.#refuse(name, `is larger than ${FILE_BYTES_MAX} bytes`, "split it into several files");
    }
    try {
      this.sources.push({ file: name, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) });
    } catch {
      const text = new TextDecoder().decode(bytes);
      const position = positionsOf(text)(text.indexOf("\uFFFD"));
      const hint = "save it as UTF-8";
      this.problems.push({ file: name, ...position, path: "", message: "the file is not valid UTF-8 here", hint });
    }
  }

  async #attempt(name: string, read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      this.#refuse(name, reasonOf(error));
    }
  }

  #refuse(file: string, message: string, hint?: string): void {
    this.problems.push({ file, line: 0, column: 0, path: "", message, ...(hint !== undefined && { hint }) });
  }
}

/** All bytes of a stream, or undefined as soon as they are more than one file may have. */
async function readBounded(stream: ByteStream): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > FILE_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function identityOf(stats: Stats): string {
  return `${stats.dev}:${stats.ino}`;
}

/** By code units: the same on every machine. */
function byName(left: Dirent, right: Dirent): number {
  return left.name < right.name ? -1 : 1;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) throw error;
  const code = "code" in error ? String(error.code) : "";
  return REASONS[code] ?? `cannot be read: ${error.message}`;
}
