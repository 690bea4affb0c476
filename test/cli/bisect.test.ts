/** `bisect` where its command tells nothing, or is not heard out. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/mesh.ts";
import { CliMesh, SHOP } from "./cli-mesh.ts";

// Each command is a process, on a machine that may be busy.
setDefaultTimeout(90_000);

let mesh: CliMesh;
let temporary: string;

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), "heddle-bisect-"));
  mesh = await CliMesh.start();
  for (const args of [
    ["apply", "-y", "-f", SHOP],
    ["shift", "shop/catalog", "v2=0%"],
    ["shift", "shop/catalog", "v2=5%"],
  ]) {
    expect((await mesh.heddle(args)).code).toBe(0);
  }
});

afterAll(async () => {
  await mesh.stop();
  await rm(temporary, { recursive: true, force: true });
});

test.each([
  ["false", "good", 3, "bad"],
  ["true", "bad", 4, "good"],
])("nobody is blamed by %p, which always says the same", async (command, end, revision, verdict) => {
  const { code, stdout, stderr } = await mesh.heddle(["bisect", "--good", "3", "--bad", "4", "--", command]);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(`heddle: --${end} ${revision} is ${verdict}, as all that was tried`);
});

test("interrupted while its mesh comes up, it says so and leaves nothing behind", async () => {
  const search = mesh.onTerminal(["bisect", "--good", "2", "--bad", "4", "--", "sleep", "60"], { TMPDIR: temporary });
  await eventually(async () => expect(await readdir(temporary)).toHaveLength(1), 60_000);
  search.type("\u0003");
  expect(await search.ended()).toBe(1);
  expect(search.shown).toContain("heddle: interrupted");
  expect(await readdir(temporary)).toEqual([]);
});
