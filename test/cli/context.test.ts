/** `heddle context`: meshes by name, and which of them a command means. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CliMesh, type Outcome } from "./cli-mesh.ts";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");

let mesh: CliMesh;
let root: string;
let alice: string;
beforeAll(async () => {
  mesh = await CliMesh.start();
  root = await mkdtemp(join(tmpdir(), "heddle-contexts-"));
  alice = join(root, "alice.creds");
  const added = await mesh.heddle(["operator", "add", "alice", "--role", "viewer", "--out", alice]);
  expect(added.code).toBe(0);
});
afterAll(async () => {
  await mesh.stop();
  await rm(root, { recursive: true, force: true });
});

let homes = 0;
/** The command line of somebody with a home of their own, in an empty folder. */
async function somebody(): Promise<(args: readonly string[], env?: NodeJS.ProcessEnv) => Promise<Outcome>> {
  const home = join(root, `home-${++homes}`);
  const cwd = join(home, "work");
  await mkdir(cwd, { recursive: true });
  const clean = { ...process.env, HOME: home, XDG_CONFIG_HOME: join(home, "config"), NO_COLOR: "1" };
  return async (args, env = {}) => {
    const child = Bun.spawn([process.execPath, MAIN, ...args], {
      cwd,
      env: { ...clean, HEDDLE_DIR: "", HEDDLE_CONTEXT: "", ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { code: await child.exited, stdout, stderr };
  };
}

test("a file of credentials that others can read is used, and warned of", async () => {
  const heddle = await somebody();
  const shared = join(root, "shared.creds");
  await copyFile(alice, shared);
  await chmod(shared, 0o644);
  const asked = await heddle(["operator", "list", "--creds", shared]);
  expect(asked).toMatchObject({ code: 0, stderr: expect.stringContaining(`chmod 600 ${shared}`) });
  expect((await heddle(["operator", "list", "--creds", alice])).stderr).not.toContain("chmod");
});

test("credentials alone say which mesh; the first that is added is meant from then on", async () => {
  const heddle = await somebody();
  expect((await heddle(["log"])).stderr).toContain("there is no mesh in .heddle");
  const added = await heddle(["context", "add", "prod", "--creds", alice]);
  expect(added).toMatchObject({ code: 0, stderr: "added prod\ncommands mean prod from now on\n" });
  expect((await heddle(["operator", "list"])).stdout).toContain("alice (you)");
  expect((await heddle(["context", "list"])).stdout).toMatch(/\* +prod +nats:\/\/127\.0\.0\.1:\d+ +alice/);
  const shown = await heddle(["context", "show", "-o", "json"]);
  expect(JSON.parse(shown.stdout)).toMatchObject({ name: "prod", inUse: true, tls: false, operator: "alice" });
  expect(shown.stdout).not.toMatch(/\bSU[A-Z2-7]{56}\b/);
  const folder = join(root, `home-${homes}`, "config", "heddle", "contexts");
  expect(await readdir(folder)).toEqual(["prod.json"]);
  expect((await stat(join(folder, "prod.json"))).mode & 0o777).toBe(0o600);
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  expect((await heddle(["context", "remove", "prod"])).code).toBe(0);
  expect(await readdir(folder)).toEqual([]);
  expect((await heddle(["log"])).stderr).toContain("there is no mesh in .heddle");
});

test("what is named goes before what is set, and that before what is in use", async () => {
  const heddle = await somebody();
  const directory = mesh.path;
  await heddle(["context", "add", "viewer", "--creds", alice]);
  await heddle(["context", "add", "admin", "--dir", directory]);
  const asked = async (args: string[], env?: NodeJS.ProcessEnv): Promise<string> => {
    const { stdout, stderr } = await heddle(["operator", "list", ...args], env);
    return /(\S+) \(you\)/.exec(stdout)?.[1] ?? stderr.trim();
  };
  expect(await asked([])).toBe("alice");
  expect(await asked(["--context", "admin"])).toBe("ada");
  expect(await asked([], { HEDDLE_CONTEXT: "admin" })).toBe("ada");
  expect(await asked(["--context", "viewer"], { HEDDLE_CONTEXT: "admin" })).toBe("alice");
  expect(await asked([], { HEDDLE_DIR: directory, HEDDLE_CONTEXT: "viewer" })).toBe("ada");
  expect(await asked(["--dir", directory])).toBe("ada");
  expect(await asked(["--context", "admin", "--creds", alice])).toBe("alice");
  await heddle(["context", "use", "admin"]);
  expect(await asked([])).toBe("ada");
  expect(await asked([], { HEDDLE_CONTEXT: "viewer" })).toBe("alice");
  const warned = await heddle(["context", "use", "viewer"], { HEDDLE_DIR: directory });
  expect(warned.stderr).toContain(`but here $HEDDLE_DIR is set, which goes before: ${directory}`);
  expect(await asked(["--context", "viewer", "--dir", directory])).toContain("name two meshes: choose one");
});

test("a mesh that lies here goes before the one in use", async () => {
  const heddle = await somebody();
  await heddle(["context", "add", "viewer", "--creds", alice]);
  await Bun.$`cp -r ${mesh.path} ${join(root, `home-${homes}`, "work", ".heddle")}`.quiet();
  expect((await heddle(["operator", "list"])).stdout).toContain("ada (you)");
  expect((await heddle(["context", "use", "viewer"])).stderr).toContain("but here is a .heddle, which goes before");
});

test("what cannot be is said", async () => {
  const heddle = await somebody();
  await heddle(["context", "add", "prod", "--creds", alice]);
  const cases: [string[], number, string][] = [
    [["context", "add", "prod", "--creds", alice], 1, "there is a context prod already"],
    [["context", "add", "../x", "--creds", alice], 2, "cannot name a context"],
    [["context", "add", "new", "--creds", "/nowhere"], 1, "/nowhere: there is no such file"],
    [["context", "add", "new", "--nats-url", "nats://a:1"], 2, "--nats-url needs --creds"],
    [["context", "use", "prd"], 1, "there is no context prd; did you mean prod?"],
    [["context", "remove", "staging"], 1, "there is no context staging"],
    [["log", "--context", "prd"], 1, "there is no context prd; did you mean prod?"],
  ];
  for (const [args, code, message] of cases) {
    const outcome = await heddle(args);
    expect(outcome.stderr).toContain(message);
    expect(outcome.code).toBe(code);
  }
  expect((await heddle(["context", "add", "prod", "--creds", alice, "--force"])).code).toBe(0);
});

test("one damaged context hides no other, and says how to be rid of it", async () => {
  const heddle = await somebody();
  await heddle(["context", "add", "prod", "--creds", alice]);
  await heddle(["context", "add", "stage", "--creds", alice]);
  await writeFile(join(root, `home-${homes}`, "config", "heddle", "contexts", "stage.json"), "{");
  const listed = await heddle(["context", "list"]);
  expect(listed.code).toBe(1);
  expect(listed.stdout).toContain("prod");
  expect(listed.stderr).toEndWith(
    "stage.json is damaged: forget it with `heddle context remove stage`, and add it again\n",
  );
  expect((await heddle(["context", "remove", "stage"])).code).toBe(0);
  expect((await heddle(["context", "list"])).code).toBe(0);
});

test("a home that is no folder, as of users who have none, holds no contexts", async () => {
  const heddle = await somebody();
  const none = { HOME: "/dev/null", XDG_CONFIG_HOME: "" };
  expect((await heddle(["context", "list"], none)).stderr).toBe("");
  expect((await heddle(["log", "--dir", mesh.path], none)).code).toBe(0);
  expect((await heddle(["log"], none)).stderr).toContain("there is no mesh in .heddle");
  expect((await heddle(["log", "--dir", "/dev/null"], none)).stderr).toContain("there is no mesh in /dev/null");
});

test("a relative directory means nothing where the current one was removed: no other one is taken for it", async () => {
  const gone = join(root, "gone");
  await mkdir(gone);
  const run = async (...args: string[]): Promise<Outcome> => {
    const script = 'cd "$0" && rmdir "$0" && exec "$@"';
    const child = Bun.spawn(["/bin/sh", "-c", script, gone, process.execPath, MAIN, ...args], {
      env: { ...process.env, HEDDLE_DIR: "", HEDDLE_CONTEXT: "", XDG_CONFIG_HOME: join(root, "no-contexts") },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { code: await child.exited, stdout, stderr };
  };
  expect(await run("up")).toEqual({
    code: 1,
    stdout: "",
    stderr:
      "heddle: the current directory was removed: go to one that is there, or name the mesh's in full with --dir\n",
  });
  await mkdir(gone);
  const elsewhere = await run("operator", "list", "--creds", alice);
  expect(elsewhere).toMatchObject({ code: 0, stderr: "" });
});
