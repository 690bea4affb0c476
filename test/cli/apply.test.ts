/** `apply` as a process against a real mesh, and what becomes of it when others change the same or the person says no. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { withOperator } from "../../src/cli/mesh/context.ts";
import { carryOut, type NamespaceCommand, propose } from "../../src/cli/mesh/proposal.ts";
import { CliMesh, SHOP } from "./cli-mesh.ts";

// Each command is a process, on a machine that may be busy.
setDefaultTimeout(30_000);

/** Each is a copy of the shop that one test has to itself. */
const NAMESPACES = ["astray", "broken", "landed-b", "contested", "unmoved"];

let mesh: CliMesh;

beforeAll(async () => {
  mesh = await CliMesh.start();
  await mesh.openShops(NAMESPACES);
});

afterAll(async () => {
  await mesh.stop();
});

describe("apply", () => {
  test("applies once, and the second time has nothing to change", async () => {
    const dry = await mesh.heddle(["apply", "-f", SHOP, "--dry-run"]);
    expect(dry).toMatchObject({ code: 0 });
    expect(dry.stdout).toContain("  + declared shop/web on 8080 (http)\n");
    expect(dry.stdout).toEndWith("nothing was changed: this was a dry run\n");
    const first = await mesh.heddle(["apply", "-f", SHOP, "--yes", "--reason", "open the shop", "--wait"]);
    expect(first).toMatchObject({ code: 0 });
    expect(first.stdout).toContain("  + granted shop/orders → shop/payment POST /charge\n");
    expect(first.stdout).toMatch(/\nshop is at revision \d+\n$/);
    expect(first.stderr).toMatch(/revision \d+ is in force, but no instance is connected yet\n/);
    expect(first.stderr).not.toContain("not enforced");
    const second = await mesh.heddle(["apply", "-f", SHOP, "--yes"]);
    expect(second).toMatchObject({ code: 0, stdout: "nothing to change\n" });
  });

  test("reads standard input, and refuses to go ahead unasked", async () => {
    const text = await Bun.file(await mesh.shopIn("piped")).text();
    const unasked = await mesh.heddle(["apply", "-f", "-"], { stdin: text });
    expect(unasked.code).toBe(1);
    expect(unasked.stderr).toContain("say --yes");
    expect((await mesh.heddle(["apply", "-f", "-", "--yes"], { stdin: text })).code).toBe(0);
  });

  test("says every problem with its place, and sends nothing", async () => {
    const before = await mesh.log.lastRevision();
    const file = await mesh.file(
      "wrong.yaml",
      [
        "apiVersion: heddle/v1",
        "kind: Service",
        "metadata: { namespace: wrong, name: web }",
        "spec:",
        "  ports: [{ port: 99999, protocol: http }]",
        "  subset: { v1: { version: v1 } }",
        "---",
        "apiVersion: heddle/v1",
        "kind: Rout",
        "metadata: { namespace: wrong, name: web }",
        "",
      ].join("\n"),
    );
    const { code, stdout, stderr } = await mesh.heddle(["apply", "-f", file, "--yes"]);
    expect(code).toBe(1);
    expect(stdout).toBe("");
    const lines = stderr.trimEnd().split("\n");
    expect(lines[0]).toStartWith(`${file}:5:19 spec.ports[0].port: `);
    expect(lines[1]).toStartWith(`${file}:6:3 spec.subset: `);
    expect(lines[2]).toStartWith(`${file}:9:7 kind: `);
    expect(lines.at(-1)).toBe("heddle: nothing was changed: 3 problems");
    expect(await mesh.log.lastRevision()).toBe(before);
  });

  test("says what contradicts the mesh as it stands with its place as well", async () => {
    const route = (subset: string): string =>
      `{"apiVersion":"heddle/v1","kind":"Route","metadata":{"namespace":"astray","name":"catalog"},"spec":{"service":"catalog",\n"rules":[{"backends":[{"subset":"${subset}"}]}]}}`;
    const { code, stderr } = await mesh.heddle(["apply", "-f", "-", "--yes"], { stdin: route("v9") });
    expect(code).toBe(1);
    expect(stderr).toContain("(standard input):2:");
    expect(stderr).toContain("spec.rules[0].backends[0].subset: ");
  });

  test("says what would break a document that the files do not name", async () => {
    const text = `apiVersion: heddle/v1\nkind: Service\nmetadata: { namespace: broken, name: catalog }\nspec: { ports: [{ port: 8080, protocol: http }] }\n`;
    const { code, stderr } = await mesh.heddle(["apply", "-f", "-", "--yes"], { stdin: text });
    expect(code).toBe(1);
    expect(stderr).toMatch(/spec.*subset/);
    expect(stderr).toContain("heddle: nothing was changed");
  });

  test("keeps to one namespace where it is told to", async () => {
    const { code, stderr } = await mesh.heddle(["apply", "-f", SHOP, "-n", "elsewhere", "--dry-run"]);
    expect(code).toBe(1);
    expect(stderr).toContain(`${SHOP}:`);
    expect(stderr).toContain("metadata.namespace: belongs to namespace shop, and --namespace says elsewhere");
  });

  test("says what is missing", async () => {
    expect(await mesh.heddle(["apply"])).toMatchObject({ code: 2, stdout: "" });
    const absent = await mesh.heddle(["apply", "-f", "no-such-file.yaml"]);
    expect(absent.code).toBe(1);
    expect(absent.stderr).toStartWith("no-such-file.yaml: does not exist\n");
  });

  test("says what landed when a later namespace does not", async () => {
    const both = await mesh.file(
      "both.yaml",
      ["landed-a", "landed-b"]
        .map(
          (namespace) =>
            `apiVersion: heddle/v1\nkind: Service\nmetadata: { namespace: ${namespace}, name: new }\nspec: { ports: [{ port: 1, protocol: http }] }\n`,
        )
        .join("---\n"),
    );
    const run = mesh.onTerminal(["apply", "-f", both]);
    await run.sees("[y/N]");
    const one = await mesh.file("one.yaml", (await Bun.file(both).text()).split("---\n")[1] ?? "");
    await mesh.changed("apply", "-f", one, "--yes", "--reason", "first");
    run.type("y\r");
    expect(await run.ended()).toBe(1);
    expect(run.shown).toContain("conflict: landed-b was changed by somebody else meanwhile:");
    expect(run.shown).toContain("by ada");
    expect(run.shown).toContain(": first");
    expect(run.shown).toContain("declared landed-b/new on 1 (http)");
    expect(run.shown).toMatch(/changed before that, and in force: landed-a at revision \d+/);
  });
});

test("of two people who decided on the same state, one wins and the other is told by whom and what", async () => {
  const route = (weight: number): string =>
    `apiVersion: heddle/v1\nkind: Route\nmetadata: { namespace: contested, name: catalog }\nspec: { service: catalog, rules: [{ backends: [{ subset: v1, weight: ${weight} }] }] }\n`;
  const runs = await Promise.all(
    [1, 2].map(async (weight) => {
      const run = mesh.onTerminal([
        "apply",
        "-f",
        await mesh.file(`contested-${weight}.yaml`, route(weight)),
        "--reason",
        `weight ${weight}`,
      ]);
      await run.sees("[y/N]");
      return run;
    }),
  );
  for (const run of runs) run.type("y\r");
  const codes = await Promise.all(runs.map((run) => run.ended()));
  expect(codes.toSorted()).toEqual([0, 1]);
  const loser = runs[codes.indexOf(1)]?.shown ?? "";
  expect(loser).toContain("conflict: contested was changed by somebody else meanwhile:");
  expect(loser).toMatch(/revision \d+ by ada, (?:now|\ds ago) \(.*\): weight \d/);
  expect(loser).toContain("defined the route of contested/catalog");
  const [last] = (await mesh.json(["log", "-n", "contested", "--limit", "1"])) as { reason: string }[];
  expect(loser).toContain(`: ${last?.reason}`);
});

test.each([
  ["Ctrl-C", "\u0003"],
  ["Ctrl-D", "\u0004"],
  ["Enter", "\r"],
])("%s is a no", async (_, key) => {
  const asked = mesh.onTerminal(["delete", "rt/unmoved/catalog"]);
  await asked.sees("Change unmoved? [y/N]");
  asked.type(key);
  expect(await asked.ended()).not.toBe(0);
  expect(await mesh.json(["get", "rt/catalog", "-n", "unmoved"])).toHaveLength(1);
});

test("a person may say no, and sees colours", async () => {
  const before = await mesh.log.lastRevision();
  const run = mesh.onTerminal(["apply", "-f", await mesh.shopIn("declined")]);
  await run.sees("Change declined? [y/N]");
  run.type("n\r");
  expect(await run.ended()).toBe(1);
  expect(run.shown).toContain("\u001b[32m+ declared declined/web");
  expect(run.shown).toContain("heddle: nothing was changed");
  expect(await mesh.log.lastRevision()).toBe(before);
});

test("interrupted between two namespaces, it says which stands and which was not sent", async () => {
  const spec = { ports: [{ port: 80, protocol: "http" as const }] };
  const commands = ["halted-a", "halted-b"].map((namespace): NamespaceCommand => {
    const web = { apiVersion: "heddle/v1", kind: "Service", metadata: { namespace, name: "web" }, spec } as const;
    return { namespace, body: { kind: "apply", documents: [web] } };
  });
  const listeners = process.listenerCount("SIGINT");
  await withOperator({ dir: mesh.path }, async (context) => {
    const proposals = await propose(context, commands, "");
    const carrying = carryOut(context, proposals, "");
    process.emit("SIGINT");
    await expect(carrying).rejects.toThrow(
      /^interrupted\nchanged before that, and in force: halted-a at revision \d+\nnot sent: halted-b$/,
    );
  });
  expect(process.listenerCount("SIGINT")).toBe(listeners);
});
