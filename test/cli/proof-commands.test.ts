/** `verify`, `export` and `import`, as processes, against a real mesh, and a second one that is made of the first. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyLedger } from "../../src/cli/mesh/ledger-copy.ts";
import { readExport } from "../../src/cli/mesh/ledger-proof.ts";
import { foldAll } from "../../src/events/evolve.ts";
import { connectBus } from "../../src/nats/connection.ts";
import { createDirectory, openDirectory } from "../../src/nats/directory.ts";
import { startServer } from "../../src/nats/embedded-server.ts";
import { findServerBinary } from "../../src/nats/server-binary.ts";
import { parseServiceRef } from "../../src/policy/names.ts";
import { declaredServices } from "../../src/projections/call-graph.ts";
import { compileSnapshot, encodeSnapshot } from "../../src/projections/compile-snapshot.ts";
import { changeOf } from "../support/ledger.ts";
import { CliMesh, CommandLine, SHOP } from "./cli-mesh.ts";

// Each command is a process, on a machine that may be busy.
setDefaultTimeout(90_000);

let mesh: CliMesh;
let root: string;
let file: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "heddle-proof-"));
  file = join(root, "ledger.jsonl");
  mesh = await CliMesh.start();
  await mesh.done("apply", "-y", "-f", SHOP, "--reason", "open the shop");
  await mesh.done("shift", "shop/catalog", "v2=0%");
});

afterAll(async () => {
  await mesh.stop();
  await rm(root, { recursive: true, force: true });
});

/** The snapshots of every service, as they would be published for the last change of an export up to a revision. */
async function snapshotsOf(path: string, revision: number): Promise<Map<string, string>> {
  const { changes } = await readExport(path);
  const state = foldAll(changes.slice(0, revision).map(({ recorded }) => recorded));
  const found = [...declaredServices(state)].sort().map((ref): [string, string] => {
    const service = parseServiceRef(ref);
    const snapshot = service && compileSnapshot(state, service);
    if (snapshot === undefined) throw new Error(`no snapshot of ${ref}`);
    return [ref, new TextDecoder().decode(encodeSnapshot(snapshot))];
  });
  return new Map(found);
}

test("verify proves the ledger, and remembers what it proved", async () => {
  const first = await mesh.done("verify");
  expect(first).toContain("verified: 3 changes in 2 namespaces, 2 of them signed by operators\nhead: 3:");
  const head = first.split("head: ")[1]?.trim() ?? "";
  await mesh.done("allow", "shop/web", "shop/catalog", "--methods", "POST");
  const second = await mesh.done("verify", "--head", head.slice(0, 20));
  expect(second).toContain("verified: 4 changes");
  expect(second).toContain("holds all that it held at revision 3, verified");
  const other = await mesh.heddle(["verify", "--head", "2:0123456789abcdef"]);
  expect(other.code).toBe(1);
  expect(other.stdout).toContain(
    "edited at revision 2: the ledger up to revision 2 is not what it was when it was noted",
  );
  expect((await mesh.heddle(["verify", "--head", "nonsense"])).code).toBe(2);
});

test("verify --tail goes on from there, says what it leaves out, and is not deceived about what it goes on from", async () => {
  const tail = await mesh.done("verify", "--tail");
  expect(tail).toMatch(/^verified: 0 changes since, .*\nnot looked at: revisions 1 to 4, verified .*\nhead: 4:/);
  expect((await mesh.heddle(["verify", "--tail", "--head", "2:0123456789abcdef"])).code).toBe(2);
  const path = join(mesh.path, "verified.json");
  const noted = await readFile(path, "utf8");
  const { heads } = JSON.parse(noted);
  await writeFile(path, noted.replace(heads.shop.hash, "0".repeat(64)));
  const { code, stdout } = await mesh.heddle(["verify", "--tail"]);
  expect([code, stdout]).toEqual([1, expect.stringContaining(`edited at revision ${heads.shop.revision}`)]);
  await rm(path);
  expect((await mesh.heddle(["verify", "--tail"])).stderr).toContain("run `heddle verify` without --tail first");
  await mesh.done("verify");
});

test("export seals the ledger, and verify proves the file without a mesh", async () => {
  await mesh.done("export", "--out", file);
  expect((await mesh.heddle(["export", "--out", file])).stderr).toContain("is there already");
  const offline = new CommandLine(join(root, "nowhere"));
  expect(await offline.heddle(["verify", file])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("verified: 4 changes"),
  });
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
  const changed = join(root, "changed.jsonl");
  await writeFile(changed, lines.with(2, (lines[2] ?? "").replace('"v2":0', '"v2":9')).join("\n"));
  const { code, stdout } = await offline.heddle(["verify", changed]);
  expect([code, stdout]).toEqual([1, expect.stringContaining("forged at revision 3: revision 3 was altered")]);
  expect((await offline.heddle(["import", changed, "--dir", join(root, "refused")])).code).toBe(1);
  const cut = join(root, "cut.jsonl");
  await writeFile(cut, (await readFile(changed, "utf8")).trimEnd().slice(0, -40));
  const { stderr } = await offline.heddle(["import", cut, "--dir", join(root, "refused")]);
  expect(stderr).toMatch(/^unreadable at revision (\d+): line \1: where revision \1 should be is no change$/m);
  const part = await mesh.done("export", "--since", "2");
  const fromInput = await offline.heddle(["verify", "-"], { stdin: part });
  expect([fromInput.code, fromInput.stdout]).toEqual([0, expect.stringContaining("verified: 2 changes")]);
});

test("import makes the same ledger of it: the same bytes, the same snapshots", async () => {
  const directory = join(root, "copy");
  const copy = new CommandLine(directory);
  const imported = await copy.heddle(["import", file, "--operator", "eve"]);
  expect([imported.code, imported.stderr]).toEqual([
    0,
    expect.stringContaining("revision 5 enters this mesh's own operator and root"),
  ]);
  const up = copy.onTerminal(["up", "--port", "0", "--control-listen", "127.0.0.1:0"]);
  try {
    await up.sees("Ctrl-C");
    const verified = await copy.heddle(["verify"]);
    expect([verified.code, verified.stdout]).toEqual([
      0,
      expect.stringContaining("note: revision 5: the ledger was taken over"),
    ]);
    const again = join(root, "again.jsonl");
    expect((await copy.heddle(["export", "--out", again])).code).toBe(0);
    const [before, after] = await Promise.all(
      [file, again].map(async (path) => (await readFile(path, "utf8")).split("\n")),
    );
    expect(after?.slice(0, 4)).toEqual(before?.slice(0, 4) ?? []);
    expect(await snapshotsOf(again, 4)).toEqual(await snapshotsOf(file, 4));
    // It is a mesh like any other.
    expect((await copy.heddle(["rollback", "3", "-y", "--with-others"])).code).toBe(0);
    expect(await copy.heddle(["import", file])).toMatchObject({ code: 1 });
  } finally {
    up.type("\u0003");
    await up.ended();
  }
});

test("an import that was interrupted goes on where it was, and nothing starts on a part of a ledger", async () => {
  const path = join(root, "interrupted");
  const directory = await createDirectory(path, { trustDomain: "mesh.local", operator: "eve" });
  const server = await startServer({ directory, binary: await findServerBinary(process.env) });
  const credentials = await directory.controlCredentials();
  const bus = await connectBus({ url: server.url, credentials, name: "import", onError: () => {} });
  let asked = 0;
  const copy = copyLedger(bus, directory, (await readExport(file)).changes, () => asked++ === 2);
  await expect(copy).rejects.toThrow("has 2 of 4 changes. Run the same command again");
  await bus.close();
  await server.stop();
  const cli = new CommandLine(path);
  for (const command of ["up", "control"]) {
    expect(await cli.heddle([command])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("an import of 4 changes into"),
    });
  }
  expect(await cli.heddle(["import", file])).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^2 of them were there already\nrevision 5 enters/),
  });
  expect((await openDirectory(path))?.context.importing).toBeUndefined();
  expect(await cli.heddle(["import", file])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("is not empty: revision 5 is beyond what the export holds"),
  });
});

test("a mesh that comes back with its own keys goes on as it was", async () => {
  const directory = join(root, "restored");
  const source = mesh.path;
  await cp(source, directory, {
    recursive: true,
    filter: (path) => !path.startsWith(join(source, "nats")) && !path.endsWith(".lock"),
  });
  const restored = new CommandLine(directory);
  const { code, stdout, stderr } = await restored.heddle(["import", file]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("imported 4 changes");
});

test("bisect finds the change that broke it, in meshes of its own", async () => {
  const search = ["bisect", "--good", "1", "--bad", "4"];
  const cannot = "! heddle can shop/web shop/catalog POST / && test $HEDDLE_REVISION -le 4";
  const { code, stdout, stderr } = await mesh.heddle([...search, "--", "sh", "-c", cannot]);
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/^revision 4 is the first bad one\n {2}revision 4 in shop by ada/),
  ]);
  expect(stderr).toContain("trying revision 3");
  expect(stderr).toContain("revision 3 is good");
  expect(await mesh.log.lastRevision()).toBe(4);
});

test("bisect says when it cannot tell, and when there is nothing to run", async () => {
  const skipped = await mesh.heddle([
    "bisect",
    "--good",
    "2",
    "--bad",
    "4",
    "-o",
    "json",
    "--",
    "sh",
    "-c",
    "exit 125",
  ]);
  expect(skipped.code).toBe(1);
  expect(JSON.parse(skipped.stdout)).toEqual({
    first: null,
    suspects: [3, 4],
    trials: [{ revision: 3, verdict: "skip" }],
  });
  const absent = await mesh.heddle(["bisect", "--good", "2", "--bad", "4", "--", "no-such-command"]);
  expect([absent.code, absent.stderr]).toEqual([1, expect.stringContaining("no-such-command cannot be run")]);
  expect((await mesh.heddle(["bisect", "--good", "4", "--bad", "2", "--", "true"])).code).toBe(2);
});

test("what somebody writes into the stream past the control plane is found", async () => {
  const [last] = (await Array.fromAsync(mesh.log.read({ namespace: "shop" }))).reverse();
  if (last === undefined) throw new Error("there is no change before");
  const rule = { allow: { from: ["*"] } };
  const granted = {
    type: "AccessGranted",
    namespace: "shop",
    name: "storefront",
    service: "catalog",
    index: 0,
    rule,
  } as const;
  const forged = changeOf("shop", [granted], { actor: "ada", revision: last.revision, previous: last.hash });
  const appended = await mesh.log.append({ ...forged, id: "forged" }, last.revision);
  expect(appended.ok).toBe(true);
  const { code, stdout } = await mesh.heddle(["verify"]);
  expect([code, stdout]).toEqual([1, expect.stringContaining(`unsigned at revision ${last.revision + 1}: `)]);
  // What was remembered is what was proved, and not this.
  expect((await mesh.heddle(["verify"])).code).toBe(1);
});
