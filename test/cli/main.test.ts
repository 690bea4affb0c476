/** The command line as such: help, errors, exit codes, and how soon it is there. */

import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json";
import { selfCommand } from "../../src/cli/program.ts";
import { createDirectory } from "../../src/nats/directory.ts";
import { CommandLine, type Outcome } from "./cli-mesh.ts";

/** Runs `heddle …` where there is no mesh. */
async function heddle(...args: string[]): Promise<Outcome> {
  const root = await mkdtemp(join(tmpdir(), "heddle-main-"));
  try {
    return await new CommandLine(join(root, "none")).heddle(args);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

test("help names every command, and each of them has help of its own", async () => {
  const { code, stdout } = await heddle("--help");
  expect(code).toBe(0);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name = ""]) => name);
  expect(commands).toContain("apply");
  expect(commands).toContain("up");
  for (const command of commands.filter((name) => name !== "help")) {
    const own = await heddle(command, "--help");
    expect([command, own.code, own.stderr]).toEqual([command, 0, ""]);
    expect(own.stdout).toStartWith(`Usage: heddle ${command} `);
  }
}, 60_000);

test.each([[["apply"]], [["fault", "inject"]]])(
  "help %p is the one that the command has itself",
  async (names) => {
    const { code, stdout } = await heddle("help", ...names);
    expect(code).toBe(0);
    expect(stdout).toStartWith(`Usage: heddle ${names.join(" ")} `);
    expect((await heddle(...names, "--help")).stdout).toBe(stdout);
  },
  30_000,
);

test("version says its own and the runtime's", async () => {
  expect(await heddle("version")).toEqual({
    code: 0,
    stdout: `heddle ${manifest.version} (bun ${Bun.version})\n`,
    stderr: "",
  });
  expect((await heddle("--version")).stdout).toBe(`${manifest.version}\n`);
});

describe("bad usage exits with 2 and one line", () => {
  test.each<[string[], string]>([
    [["aply"], "heddle: unknown command 'aply'\n(Did you mean apply?)\n"],
    [["help", "aply"], "heddle: unknown command 'aply'\n(Did you mean apply?)\n"],
    [["help", "describe"], "heddle: unknown command 'describe'\n"],
    [["version", "--loud"], "heddle: unknown option '--loud'\n"],
    [["token", "create", "orders"], "heddle: 'orders' is no service; write NAMESPACE/NAME, such as shop/orders\n"],
    [["up", "--port", "70000"], "heddle: --port: '70000' is no port; write one from 0 (any free one) to 65535\n"],
    [["up", "--operator", "\u001b[31mroot"], expect.stringContaining("An operator's name is up to 64 letters")],
    [["up", "--operator", "heddle"], expect.stringContaining("History calls the control plane itself heddle")],
    [
      ["sidecar", "--service", "shop/web", "--app", "127.0.0.1:1", "--instance", "web.1"],
      expect.stringContaining("An instance's name is up to 64 letters, digits, - and _."),
    ],
    [
      ["sidecar", "--service", "shop/web", "--app", "127.0.0.1:1", "--label", "a=\u001b[31m"],
      "heddle: --label: 'a=\uFFFD[31m' is no label; write NAME=VALUE\n",
    ],
    [["up", "--trust-domain", "Mesh!"], expect.stringContaining("--trust-domain")],
    [["control", "--nats-url", "nats://127.0.0.1:1", "--creds", "x"], expect.stringContaining("heddle: ")],
  ])("%p", async (args, complaint) => {
    const { code, stdout, stderr } = await heddle(...args);
    expect({ stdout, stderr }).toEqual({ stdout: "", stderr: complaint });
    expect(code).toBe(args[0] === "control" ? 1 : 2);
  });

  test("no command at all shows help, on the standard error", async () => {
    const { code, stdout, stderr } = await heddle();
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toStartWith("Usage: heddle ");
  });
});

test("what fails exits with 1 and one line, with a stack only when asked for", async () => {
  const root = await mkdtemp(join(tmpdir(), "heddle-main-"));
  const line = new CommandLine(join(root, "none"));
  const { code, stdout, stderr } = await line.heddle(["status"]);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^heddle: there is no mesh in .*none: start one with `heddle up`.*\n$/);
  process.env.HEDDLE_DEBUG = "1";
  const debugged = await new CommandLine(join(root, "none")).heddle(["status"]);
  delete process.env.HEDDLE_DEBUG;
  expect(debugged.stderr).toContain("    at ");
  await rm(root, { recursive: true, force: true });
});

test("what is typed comes back without what a terminal would act upon", async () => {
  for (const args of [["\u001b[31mred"], ["get", "--\u001b]0;title\u0007"], ["token", "create", "\u009b2J"]]) {
    const { code, stderr } = await heddle(...args);
    expect(code).toBe(2);
    expect(stderr).toContain("\uFFFD");
    expect(stderr.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  }
});

test("what is typed at length is not all said again", async () => {
  const { code, stderr } = await heddle("apply", "-f", "x", "--reason", "y".repeat(10_000));
  expect(code).toBe(2);
  expect(stderr).toContain(`${"y".repeat(50)}…' is invalid. It may have 1024 characters at most.`);
  expect(stderr.length).toBeLessThan(500);
});

test("a document that is there twice is said once", async () => {
  const root = await mkdtemp(join(tmpdir(), "heddle-main-"));
  const service = "apiVersion: heddle/v1\nkind: Service\nmetadata: { namespace: shop, name: a }\n";
  const text = [8080, 9090].map((port) => `${service}spec: { ports: [{ port: ${port}, protocol: http }] }\n`);
  const { code, stderr } = await new CommandLine(join(root, "none")).heddle(["apply", "-f", "-"], {
    stdin: text.join("---\n"),
  });
  await rm(root, { recursive: true, force: true });
  expect(code).toBe(1);
  expect(stderr).toBe(
    "(standard input):6:1 Service/shop/a is declared twice: first at (standard input):1:1; keep one of the two\nheddle: nothing was changed: 1 problem\n",
  );
});

test("a method that is none is refused where a call is asked about", async () => {
  const { code, stderr } = await heddle("explain", "shop/web", "shop/catalog", "G T", "/");
  expect([code, stderr]).toEqual([2, "heddle: 'G T' is no method, such as GET\n"]);
});

test("output for which the disk is full is said, and fails the command", async () => {
  const child = Bun.spawn([...selfCommand(["version"])], { stdout: Bun.file("/dev/full"), stderr: "pipe" });
  expect(await new Response(child.stderr).text()).toMatch(/^heddle: the output could not be written: ENOSPC.*\n$/);
  expect(await child.exited).toBe(1);
});

test("a server that accepts connections and says nothing is given up, and the command ends", async () => {
  const mute = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const root = await mkdtemp(join(tmpdir(), "heddle-main-"));
  await createDirectory(join(root, "mesh"), { trustDomain: "mesh.local", operator: "ada" });
  const url = `nats://127.0.0.1:${mute.port}`;
  const { code, stderr } = await new CommandLine(join(root, "mesh")).heddle([
    "status",
    "--dir",
    join(root, "mesh"),
    "--nats-url",
    url,
  ]);
  mute.stop(true);
  await rm(root, { recursive: true, force: true });
  expect([code, stderr]).toEqual([1, `heddle: NATS at ${url} is out of reach: is the mesh running? (\`heddle up\`)\n`]);
}, 60_000);
