/** Replicas that know of each other, over a real server. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { askCheck } from "../../src/cli/mesh/command-client.ts";
import { eventually } from "../support/mesh.ts";
import { type ControlMesh, startMesh } from "./mesh.ts";

let mesh: ControlMesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(() => mesh.stop());

test("each tells of all that run, with their clocks, and of none that has left", async () => {
  await mesh.startReplica({ version: "1" });
  expect((await askCheck(mesh.ada)).replicas).toMatchObject([{ version: "1", revision: 1, skewMs: 0 }]);
  const second = await mesh.startReplica({ version: "2", now: () => Date.now() + 60_000 });
  await eventually(async () => {
    // Either may answer, and has to have heard of the other.
    for (let asked = 0; asked < 4; asked++) {
      const { replicas } = await askCheck(mesh.ada);
      expect(replicas.map(({ version }) => version).sort()).toEqual(["1", "2"]);
      expect(Math.abs(replicas[1]?.skewMs ?? 0)).toBeGreaterThan(50_000);
    }
  }, 30_000);
  await second.stop();
  await eventually(async () => {
    expect((await askCheck(mesh.ada)).replicas.map(({ version }) => version)).toEqual(["1"]);
  }, 30_000);
});
