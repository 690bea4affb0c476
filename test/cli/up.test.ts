/** `heddle up`, with the processes that it keeps alive. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selfCommand } from "../../src/cli/program.ts";
import { connectBus } from "../../src/nats/connection.ts";
import { parseCredentials } from "../../src/nats/credentials.ts";
import { openDirectory } from "../../src/nats/directory.ts";
import { startServer } from "../../src/nats/embedded-server.ts";
import { findServerBinary } from "../../src/nats/server-binary.ts";
import { subjects } from "../../src/nats/subjects.ts";
import { eventually } from "../support/mesh.ts";
import { CommandLine } from "./cli-mesh.ts";

let root: string;
let path: string;
let line: CommandLine;
const running: Bun.Subprocess[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "heddle-up-"));
  path = join(root, "mesh");
  line = new CommandLine(path);
});
afterEach(async () => {
  for (const process of running.splice(0)) {
    process.kill("SIGTERM");
    await process.exited;
  }
  await rm(root, { recursive: true, force: true });
});

interface RunningUp {
  readonly process: Bun.Subprocess;
  /** All that it has printed so far. */
  stdout(): string;
  stderr(): string;
}

/** Starts `heddle up` and waits until it says that the mesh is there, or has ended. */
async function up(...args: string[]): Promise<RunningUp> {
  const process = Bun.spawn(selfCommand(["up", "--dir", path, "--control-listen", "127.0.0.1:0", ...args]), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // All that it can say.
    env: { ...Bun.env, HEDDLE_LOG: "debug" },
  });
  running.push(process);
  const [stdout, stderr] = [collect(process.stdout), collect(process.stderr)];
  await eventually(() => {
    if (process.exitCode === null) expect(stdout()).toContain("Ctrl-C stops it");
  }, 30_000);
  return { process, stdout, stderr };
}

function collect(stream: ReadableStream<Uint8Array>): () => string {
  let text = "";
  void (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  })();
  return () => text;
}

async function apply(name: string): Promise<void> {
  const policy = `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: [{ port: 8080, protocol: http }] }
`;
  const { code, stderr } = await line.heddle(["apply", "-f", "-", "--yes"], { stdin: policy });
  if (code !== 0) throw new Error(stderr);
}

/** Lines of the ledger, newest first. */
async function revisions(): Promise<number> {
  const { stdout } = await line.heddle(["log"]);
  return stdout.trim().split("\n").length - 1;
}

/** The process that nats-server's lock names. */
async function natsPid(): Promise<number> {
  return Number((await readFile(join(path, "nats", "lock"), "utf8")).split(" ")[0]);
}

/** The process of `heddle up`, which nats-server's lock names as the one that looks after it. */
async function upPid(): Promise<number> {
  return Number((await readFile(join(path, "nats", "lock"), "utf8")).split("\n")[1]?.split(" ")[0]);
}

/** The process of the replica that was ready last, as its log tells. */
async function controlPid(): Promise<number> {
  const lines = (await readFile(join(path, "control.log"), "utf8")).trim().split("\n");
  const ready = lines.findLast((text) => text.includes("control replica ready"));
  const pid: unknown = JSON.parse(ready ?? "{}").pid;
  if (typeof pid !== "number") throw new Error("no replica was ready");
  return pid;
}

test("starts, tells how to go on, stops cleanly, and starts again with everything still there", async () => {
  const first = await up("--port", "0", "--operator", "grace");
  expect(first.stdout()).toContain(`export HEDDLE_DIR=${path}`);
  expect(first.stdout()).toMatch(/NATS +nats:\/\/127\.0\.0\.1:\d+/);
  expect(first.stdout()).toContain("grace (admin)");
  await apply("orders");
  expect(await revisions()).toBe(2);
  const pids = [await natsPid(), await controlPid()];
  first.process.kill("SIGTERM");
  expect(await first.process.exited).toBe(0);
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();

  const { code, stderr } = await line.heddle(["status"]);
  expect([code, stderr]).toEqual([1, expect.stringContaining("is the mesh running? (`heddle up`)")]);

  const second = await up();
  const url = /nats:\/\/\S+/.exec(first.stdout())?.[0] ?? "";
  expect(second.stdout()).toContain(url);
  expect(await revisions()).toBe(2);
  await apply("web");
  expect(await revisions()).toBe(3);
}, 60_000);

test("says whose credentials the directory has, and when they are no good any more", async () => {
  const first = await up("--port", "0", "--operator", "grace");
  const other = join(root, "ada.creds");
  await line.heddle(["operator", "add", "ada", "--role", "admin", "--out", other]);
  const revoked = await line.heddle(["operator", "revoke", "grace", "--yes", "--creds", other]);
  expect([revoked.code, revoked.stderr]).toEqual([0, expect.stringContaining("grace is shut out")]);
  first.process.kill("SIGTERM");
  await first.process.exited;
  const second = await up();
  expect(second.stdout()).toContain("grace, who is revoked: commands need the --creds of another one");
}, 60_000);

test("brings back the control replica and nats-server after kill -9, and loses nothing", async () => {
  const { stderr } = await up("--port", "0");
  await apply("orders");
  const control = await controlPid();
  process.kill(control, "SIGKILL");
  // Whoever asks meanwhile waits for it.
  await apply("web");
  expect(stderr()).toContain("the control replica has ended (signal SIGKILL); starting it again");
  expect(await controlPid()).not.toBe(control);

  const nats = await natsPid();
  process.kill(nats, "SIGKILL");
  await eventually(() => expect(stderr()).toContain("nats-server is back"));
  await eventually(() => apply("payment"));
  expect(await natsPid()).not.toBe(nats);
  expect(stderr()).toContain("nats-server has ended (signal SIGKILL); starting it again");
  expect(await revisions()).toBe(4);
}, 60_000);

test("takes over from one that was killed, and from the server that it left behind", async () => {
  const { process: first } = await up("--port", "0");
  await apply("orders");
  const left = await natsPid();
  first.kill("SIGKILL");
  await first.exited;
  expect(await natsPid()).toBe(left);
  await up();
  expect(await natsPid()).not.toBe(left);
  await apply("web");
  expect(await revisions()).toBe(3);
}, 60_000);

test("goes on when nobody reads what it says any more, and when the disk for that is full", async () => {
  // `sh` makes what a terminal that was closed leaves behind, and a full disk, for which /dev/full stands.
  const script = '{ "$0" "$@" 2>&1 >/dev/full; echo "ended with $?" >&3; } 3>&1 | true';
  const [program = "", ...args] = selfCommand(["up", "--dir", path, "--control-listen", "127.0.0.1:0", "--port", "0"]);
  const shell = Bun.spawn(["sh", "-c", script, program, ...args], { stdin: "ignore", stdout: "pipe" });
  running.push(shell);
  await eventually(() => apply("orders"), 30_000);
  const control = await controlPid();
  process.kill(control, "SIGKILL");
  await eventually(async () => expect(await controlPid()).not.toBe(control));
  await apply("web");
  expect(await revisions()).toBe(3);
  // Whom the lock names looks after nats-server: it is still there to be stopped.
  process.kill(await upPid(), "SIGTERM");
  await eventually(() => expect(natsPid()).rejects.toThrow("ENOENT"));
}, 60_000);

test("a command that nobody would decide says so soon", async () => {
  const { process: running } = await up("--port", "0");
  running.kill("SIGTERM");
  await running.exited;
  // A server alone.
  const opened = await openDirectory(path);
  if (opened === undefined) throw new Error("the directory is gone");
  const server = await startServer({ directory: opened, binary: await findServerBinary(process.env) });
  try {
    const { code, stderr } = await line.heddle(["status"]);
    expect(code).toBe(1);
    expect(stderr).toEndWith(
      "heddle: no control replica answers: is one running? (`heddle up`, or `heddle control`)\n",
    );
  } finally {
    await server.stop();
  }
}, 60_000);

test("refuses what contradicts the directory, or has it already", async () => {
  const first = await up("--port", "0", "--operator", "grace");
  const again = await up();
  expect(again.process.exitCode).toBe(1);
  expect(again.stderr()).toContain(`is in use by process ${first.process.pid}; stop that one first`);
  for (const args of [
    ["--operator", "eve"],
    ["--trust-domain", "other.local"],
  ]) {
    const { process, stderr } = await up(...args);
    expect([args, process.exitCode]).toEqual([args, 2]);
    expect(stderr()).toContain("use another --dir");
  }
}, 60_000);

test("says at once why the control replica does not start, and leaves nothing running", async () => {
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { process: failed, stderr } = await up("--port", "0", "--control-listen", `127.0.0.1:${other.port}`);
  other.stop(true);
  expect(failed.exitCode).toBe(1);
  expect(stderr()).toContain(String(other.port));
  await expect(natsPid()).rejects.toThrow("ENOENT");
}, 30_000);

test("makes tokens that are good for one service, readable by their owner only", async () => {
  await up("--port", "0");
  for (const out of [join(root, "none", "orders.creds"), root]) {
    const refused = await line.heddle(["token", "create", "shop/orders", "--out", out]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/^heddle: --out: .*nothing was changed\n$/),
    ]);
  }
  const forever = await line.heddle(["token", "create", "shop/orders", "--ttl", "99999999h"]);
  expect([forever.code, forever.stderr]).toEqual([2, expect.stringContaining("at most 100 years")]);
  expect(await revisions()).toBe(1);
  const file = join(root, "orders.creds");
  const made = await line.heddle(["token", "create", "shop/orders", "--out", file]);
  expect([made.code, made.stdout]).toEqual([0, ""]);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const printed = await line.heddle(["token", "create", "shop/orders", "--ttl", "1h"]);
  const credentials = await parseCredentials(printed.stdout, "stdout");
  expect(credentials.name).toBe("shop/orders");
  const url = /"url": "([^"]+)"/.exec(await readFile(join(path, "context.json"), "utf8"))?.[1] ?? "";
  const errors: Error[] = [];
  const bus = await connectBus({ url, credentials, name: "test", onError: (error) => errors.push(error) });
  bus.subscribe(subjects.config("shop", "orders"), () => {});
  bus.subscribe(subjects.config("shop", "payment"), () => {});
  await bus.flush();
  await eventually(() => expect(errors.map(String).join()).toContain("heddle.config.shop.payment"));
  expect(errors).toHaveLength(1);
  await bus.close();
}, 60_000);

/** Every nkey seed, and of each private key the lines that are not about its public half. */
function secretsIn(text: string): string[] {
  const keys = [...text.matchAll(/-----BEGIN PRIVATE KEY-----\n(.+)\n(.+)\n/g)].flatMap(([, ...lines]) => lines);
  return [...(text.match(/\bS[UAOX][A-Z2-7]{56}\b/g) ?? []), ...keys];
}

/** Command line and environment of this process and of all that were started for the mesh. */
async function processesOf(path: string): Promise<string[]> {
  const texts = (await readdir("/proc"))
    .filter((name) => /^\d+$/.test(name))
    .map(async (pid) => {
      const [line = "", environment = ""] = await Promise.all(
        ["cmdline", "environ"].map((name) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")),
      );
      return line.includes(path) ? line + environment : "";
    });
  return (await Promise.all(texts)).filter((text) => text !== "");
}

test("no secret is shown, logged, passed on a command line, or kept where others can read it", async () => {
  const mesh = await up("--port", "0");
  await apply("web");
  const creds = join(root, "web.creds");
  expect((await line.heddle(["token", "create", "shop/web", "--out", creds])).code).toBe(0);
  const files = (await readdir(path, { recursive: true, withFileTypes: true })).map((entry) => ({
    file: join(entry.parentPath, entry.name),
    isFile: entry.isFile(),
  }));
  const open: string[] = [];
  for (const { file } of [...files, { file: creds }]) {
    // The server replaces files of its store while it is looked at.
    const found = await stat(file).catch(() => undefined);
    if (((found?.mode ?? 0) & 0o077) !== 0) open.push(file);
  }
  expect(open).toEqual([]);
  const texts = await Promise.all(
    files
      .filter(({ file, isFile }) => isFile && !file.includes("/store/"))
      .map(async ({ file }) => ({ file, text: await readFile(file, "utf8").catch(() => "") })),
  );
  const kept = /\/(?:ca|creds|trust)\//;
  const secrets = [
    ...texts.filter(({ file }) => kept.test(file)).map(({ text }) => text),
    await readFile(creds, "utf8"),
  ]
    .flatMap(secretsIn)
    .filter((secret, index, all) => all.indexOf(secret) === index);
  expect(secrets.length).toBeGreaterThan(8);
  const processes = await processesOf(path);
  expect(processes.length).toBeGreaterThanOrEqual(3);
  const said = [mesh.stdout(), mesh.stderr(), ...processes];
  for (const { file, text } of texts) if (!kept.test(file)) said.push(text);
  for (const secret of secrets) for (const text of said) expect(text.includes(secret)).toBe(false);
}, 60_000);
