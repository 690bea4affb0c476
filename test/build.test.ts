/** The compiled program: one file that runs where there is neither a checkout nor Bun nor any dependency. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../package.json";

const ROOT = join(import.meta.dir, "..");
let folder = "";
let program = "";

/** Runs a command with nothing of ours around it. */
async function run(command: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = Bun.spawn([...command], { cwd: folder, env: { PATH: "/nowhere" }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-build-"));
  program = join(folder, "heddle");
  // What `npm run build` runs; the later of two output files is the one that counts.
  const build = Bun.spawn([process.execPath, "run", "build", "--outfile", program], {
    cwd: ROOT,
    stdout: "ignore",
    stderr: "pipe",
  });
  if ((await build.exited) !== 0) throw new Error(`the build failed:\n${await build.stderr.text()}`);
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

test("tells its version", async () => {
  const { code, stdout } = await run([program, "version"]);
  expect(stdout).toContain(manifest.version);
  expect(code).toBe(0);
});

test("has every command inside, those that load when they are named included", async () => {
  const { stdout: overview } = await run([program, "--help"]);
  const [, list = ""] = overview.split("Commands:");
  const commands = [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name = ""]) => name);
  expect(commands).toContain("sidecar");
  for (const command of commands) {
    const { code, stdout, stderr } = await run([program, command, "--help"]);
    expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: "" });
    expect(stdout).toContain(`heddle ${command}`);
  }
});
