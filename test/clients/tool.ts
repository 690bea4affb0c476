/** Programs that others wrote, run by tests as their users would run them. */

import { readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Where Debian and Go put programs that not every PATH names. */
const POSTGRES = "/usr/lib/postgresql";
const FOLDERS = [
  "/usr/sbin",
  join(homedir(), "go", "bin"),
  ...versionsOf(POSTGRES).map((each) => join(POSTGRES, each, "bin")),
];
process.env.PATH = [process.env.PATH, ...FOLDERS].join(":");

function versionsOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a program to its end; `input` is its standard input. */
export async function run(command: readonly string[], input: Uint8Array | string = ""): Promise<Outcome> {
  const child = Bun.spawn([...command], {
    stdin: typeof input === "string" ? Buffer.from(input) : input,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

/** A title for tests of a program, and whether to skip them: then the title says why. */
export function needs(tool: string, title: string): [title: string, missing: boolean] {
  const missing = Bun.which(tool) === null;
  return [missing ? `${title} (skipped: ${tool} is not installed)` : title, missing];
}
