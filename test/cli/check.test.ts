/** `heddle check` of a real mesh. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Finding } from "../../src/cli/output/finding.ts";
import { VERSION } from "../../src/cli/program.ts";
import { CliMesh, CommandLine, SHOP } from "./cli-mesh.ts";

let mesh: CliMesh;
beforeAll(async () => {
  mesh = await CliMesh.start();
});
afterAll(() => mesh.stop());

test("a new mesh is well", async () => {
  const { code, stdout } = await mesh.heddle(["check"]);
  expect(stdout).toMatch(/ok +the server can be reached +nats:\/\/127\.0\.0\.1:\d+, nats-server 2\./);
  expect(stdout).toMatch(/ok +the credentials are an operator's +ada, admin/);
  expect(stdout).toEndWith("all is well\n");
  expect(code).toBe(0);
});

test("a viewer may ask as well", async () => {
  const { code, stdout } = await mesh.heddle(["check"], { creds: await mesh.viewer("vic") });
  // Minted with the mesh's keys, and so unknown to the ledger.
  expect(stdout).toContain("the ledger knows no operator with the key of vic");
  expect(code).toBe(1);
});

test("warnings are no failures; a sidecar that refused its policy is one", async () => {
  expect((await mesh.heddle(["apply", "-f", SHOP, "--yes"])).code).toBe(0);
  const warned = await mesh.heddle(["check"]);
  expect(warned.stdout).toMatch(/warn +every service has an instance +shop\//);
  expect(warned.code).toBe(0);
  const beat = {
    instance: "catalog-1",
    namespace: "shop",
    service: "catalog",
    state: "ready" as const,
    host: "10.0.0.1",
    port: 15_006,
    labels: {},
    revision: 1,
    rejected: { revision: 2, reason: "a field is unknown" },
    certificateExpiry: new Date(Date.now() + 3_600_000).toISOString(),
    startedAt: new Date().toISOString(),
    version: VERSION,
  };
  await mesh.heartbeat(beat);
  // However long the command takes, the instance lives.
  const beating = setInterval(() => void mesh.heartbeat(beat), 2_000);
  const { code, stdout } = await mesh.heddle(["check", "-o", "json"]).finally(() => clearInterval(beating));
  const failed = (JSON.parse(stdout) as Finding[]).filter(({ verdict }) => verdict === "fail");
  expect(failed).toMatchObject([
    { check: "no policy was refused", detail: "shop/catalog catalog-1: a field is unknown" },
  ]);
  expect(code).toBe(1);
});

test("a mesh that is not there is a finding", async () => {
  const { code, stdout } = await new CommandLine("/nowhere/heddle").heddle(["check"]);
  expect(stdout).toMatch(/FAIL +the server can be reached +there is no mesh in \/nowhere\/heddle/);
  expect(code).toBe(1);
});
