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
  const commands = [...list.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name = ""]) => name);
  expect(commands).toContain("sidecar");
  for (const command of commands) {
    const { code, stdout, stderr } = await run([program, command, "--help"]);
    expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: "" });
    expect(stdout).toContain(`heddle ${command}`);
  }
});

test("starts a whole mesh, its own further processes included", async () => {
  const { PATH, HEDDLE_NATS_SERVER } = process.env;
  const env = { PATH, ...(HEDDLE_NATS_SERVER === undefined ? {} : { HEDDLE_NATS_SERVER }) };
  const mesh = ["--dir", join(folder, "mesh")];
  const up = Bun.spawn([program, "up", ...mesh, "--port", "0", "--control-listen", "127.0.0.1:0"], {
    cwd: folder,
    env: { ...env, USER: "tester" },
    stdout: "pipe",
    stderr: "pipe",
  });
  try {
    expect(await outputUntil(up.stdout, "Heddle is up.")).toContain("Heddle is up.");
    const status = Bun.spawn([program, "status", ...mesh], { cwd: folder, env, stdout: "ignore", stderr: "pipe" });
    expect({ code: await status.exited, stderr: await status.stderr.text() }).toMatchObject({ code: 0 });
  } finally {
    up.kill("SIGTERM");
    await up.exited;
  }
  expect(up.exitCode).toBe(0);
}, 60_000);

/** What a stream says until `text` is among it, or all of it where that never comes. */
async function outputUntil(stream: ReadableStream<Uint8Array>, text: string): Promise<string> {
  const decoder = new TextDecoder();
  let output = "";
  for await (const chunk of stream) {
    output += decoder.decode(chunk, { stream: true });
    if (output.includes(text)) break;
  }
  return output;
}
