/** The demo, as a newcomer runs it: it holds from beginning to end, and leaves nothing behind however it ends. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { STORY } from "../examples/demo/story.ts";

const LAUNCHER = join(import.meta.dir, "../bin/heddle");
/** It takes some 25 s on two idle cores; beside other tests it has to share them. */
const TIMEOUT_MS = 240_000;

let temporary: string;

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), "heddle-demo-test-"));
});

afterEach(async () => {
  await rm(temporary, { recursive: true, force: true });
});

function startDemo() {
  const env = { ...process.env, TMPDIR: temporary, NO_COLOR: "1" };
  return Bun.spawn([LAUNCHER, "demo"], { env, stdin: "ignore", stdout: "pipe", stderr: "inherit" });
}

/** Processes that the demo's output names, and the mesh's own processes that are still there. */
function survivors(output: string): number[] {
  const [, nats, control] = /nats-server is process (\d+), control (\d+)/.exec(output) ?? [];
  const pids = [nats, control, ...[...output.matchAll(/process (\d+) took its place/g)].map(([, pid]) => pid)];
  expect(pids).not.toContain(undefined);
  return pids.map(Number).filter((pid) => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  });
}

test(
  "every step of the story holds",
  async () => {
    const demo = startDemo();
    const output = await demo.stdout.text();
    expect({ code: await demo.exited, output }).toMatchObject({ code: 0 });
    const table = output.slice(output.indexOf("WHAT CAME OVER THE WIRE"));
    for (const { title } of STORY) expect(table).toContain(`✓   ${title}`);
    expect(survivors(output)).toEqual([]);
    expect(await readdir(temporary)).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "interrupted in the middle, it ends what it started",
  async () => {
    const demo = startDemo();
    let output = "";
    for await (const chunk of demo.stdout.pipeThrough(new TextDecoderStream())) {
      output += chunk;
      // All processes are up once the first step behind the opening has begun.
      if (output.includes(STORY[2]?.title ?? "")) demo.kill("SIGINT");
    }
    expect(await demo.exited).toBe(130);
    expect(survivors(output)).toEqual([]);
    expect(await readdir(temporary)).toEqual([]);
  },
  TIMEOUT_MS,
);
