/** What a sidecar kept is believed only where it is what was written; anything else is told, and left out of account. */

import { expect, test } from "bun:test";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { EndpointSet } from "../../../src/projections/snapshot.ts";
import { StateDirectory } from "../../../src/proxy/sidecar/state-directory.ts";
import { temporaryDirectory } from "../../ca/temporary.ts";
import { putPipe } from "../../support/pipe.ts";

const SETS: EndpointSet[] = [{ namespace: "shop", name: "catalog", version: 1, endpoints: [] }];

test.each<[string, (path: string) => Promise<unknown>, string]>([
  ["a pipe that nobody writes to", putPipe, "no regular file"],
  ["a folder", (path) => rm(path).then(() => mkdir(path)), "no regular file"],
  ["a link to something else", (path) => rm(path).then(() => symlink("/etc/passwd", path)), "JSON"],
  ["half a file", async (path) => writeFile(path, (await readFile(path, "utf8")).slice(0, 20)), "JSON"],
])("%s in its place is told, and nothing is taken from it", async (_, damage, words) => {
  await using directory = await temporaryDirectory();
  const told: string[] = [];
  const open = () => StateDirectory.open(directory.path, "the mesh", (message) => void told.push(message));
  const before = await open();
  before.save(SETS);
  await before.settled();
  expect((await (await open()).load()).endpoints).toEqual(SETS);
  expect(told).toEqual([]);

  await damage(join(directory.path, "state.json"));
  expect(await (await open()).load()).toEqual({ snapshot: undefined, endpoints: [] });
  expect(told).toEqual([expect.stringContaining(words)]);
});

test("without a file there is nothing to tell", async () => {
  await using directory = await temporaryDirectory();
  const told: string[] = [];
  const state = await StateDirectory.open(directory.path, "the mesh", (message) => void told.push(message));
  expect(await state.load()).toEqual({ snapshot: undefined, endpoints: [] });
  expect(told).toEqual([]);
});
