import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findServerBinary, versionAtLeast } from "../../src/nats/server-binary.ts";

let path: string;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "heddle-binary-"));
});
afterAll(() => rm(path, { recursive: true, force: true }));

async function program(name: string, output: string): Promise<string> {
  const file = join(path, name);
  await writeFile(file, `#!/bin/sh\necho "${output}"\n`);
  await chmod(file, 0o755);
  return file;
}

test("the program named in the environment comes first", async () => {
  const named = await program("my-nats", "nats-server: v2.11.4");
  expect(await findServerBinary({ ...process.env, HEDDLE_NATS_SERVER: named })).toEqual({
    path: named,
    version: "2.11.4",
  });
});

test("without one, PATH is searched", async () => {
  const onPath = await program("nats-server", "nats-server: v2.10.0-RC.1");
  expect(await findServerBinary({ PATH: path })).toEqual({ path: onPath, version: "2.10.0" });
});

test("a program that is too old, something else, or not there is refused by name", async () => {
  for (const [file, complaint] of [
    [await program("old", "nats-server: v2.8.4"), "is nats-server 2.8.4; Heddle needs 2.9 or newer"],
    [await program("other", "hello"), 'is not nats-server: --version printed "hello"'],
    [join(path, "missing"), "cannot be run"],
  ] as const) {
    await expect(findServerBinary({ HEDDLE_NATS_SERVER: file })).rejects.toThrow(`${file} ${complaint}`);
  }
});

test("versions compare as numbers", () => {
  const cases: [string, boolean][] = [
    ["2.9.0", true],
    ["2.10.1", true],
    ["3.0.0", true],
    ["2.8.99", false],
    ["1.10.0", false],
  ];
  for (const [version, expected] of cases)
    expect([version, versionAtLeast(version, 2, 9)]).toEqual([version, expected]);
});
