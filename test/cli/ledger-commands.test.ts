/** The commands that change and read the ledger, as processes, against a real mesh. Tests share it, and no names. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { changeOf } from "../support/ledger.ts";
import { CliMesh } from "./cli-mesh.ts";

// Each command is a process, on a machine that may be busy.
setDefaultTimeout(30_000);

/** Each is a copy of the shop that one test has to itself. */
const NAMESPACES = [
  "printed",
  "found",
  "rules",
  "moved",
  "told",
  "followed",
  "undone",
  "stated",
  "lagging",
  "watched",
  "gone",
];

let mesh: CliMesh;

beforeAll(async () => {
  mesh = await CliMesh.start();
  await mesh.openShops(NAMESPACES);
});

afterAll(async () => {
  await mesh.stop();
});

describe("get", () => {
  test("prints YAML that applies as it is", async () => {
    const { stdout } = await mesh.heddle(["get", "-n", "printed", "-o", "yaml"]);
    expect(stdout.split("---\n")).toHaveLength(9);
    const again = await mesh.heddle(["apply", "-f", "-", "--yes"], { stdin: stdout });
    expect(again).toMatchObject({ code: 0, stdout: "nothing to change\n" });
    const json = JSON.stringify(await mesh.json(["get", "-n", "printed"]));
    expect((await mesh.heddle(["apply", "-f", "-", "--yes"], { stdin: json })).stdout).toBe("nothing to change\n");
  });

  test("finds one document by its short name, now and as it was", async () => {
    const [shifted] = await mesh.changed("shift", "catalog", "v2=50%", "-n", "found");
    const weights = async (...at: string[]) => {
      const { stdout } = await mesh.heddle(["get", "rt/catalog", "-n", "found", "-o", "yaml", ...at]);
      return stdout.match(/weight: (\d+)/g);
    };
    expect(await weights()).toEqual(["weight: 50", "weight: 50"]);
    expect(await weights("--at", String((shifted?.revision ?? 0) - 1))).toEqual(["weight: 90", "weight: 10"]);
  });

  test("says what is not there", async () => {
    const wrong = await mesh.heddle(["get", "route/nowhere"]);
    expect(wrong).toMatchObject({ code: 1, stdout: "" });
    expect(wrong.stderr).toContain("there is no Route/nowhere");
    expect(await mesh.heddle(["get", "thing"])).toMatchObject({ code: 2 });
    expect((await mesh.heddle(["get", "--at", "999999"])).stderr).toContain("there is no revision 999999");
  });
});

describe("direct commands", () => {
  test("allow and deny add a rule to the service's own policy, once", async () => {
    const args = ["allow", "rules/web", "rules/payment", "--methods", "get", "--paths", "/a,/b/*", "--reason", "look"];
    const [allowed] = await mesh.changed(...args);
    expect(allowed?.lines).toEqual([
      "declared the access policy payment-access of rules/payment",
      "granted rules/web → rules/payment GET /a, /b/*",
    ]);
    const again = await mesh.heddle(args);
    expect(again).toMatchObject({ code: 0, stdout: "nothing to change\n" });
    expect(again.stderr).toContain("already has this rule: rules[0], by ada at revision");
    const [denied] = await mesh.changed(
      "deny",
      "*",
      "payment",
      "-n",
      "rules",
      "--paths",
      "/admin/*",
      "--policy",
      "gate",
    );
    expect(denied?.lines).toContain("forbade any caller → rules/payment /admin/*");
    expect(await mesh.changed("allow", "rules/*", "rules/web", "--dry-run")).toMatchObject([{ revision: null }]);
    const refused = await mesh.heddle(["allow", "rules/web", "rules/nobody"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("rules/nobody");
    expect((await mesh.heddle(["allow", "no good", "rules/web"])).code).toBe(2);
  });

  test("shift moves traffic at once, and refuses what cannot be", async () => {
    const [shifted] = await mesh.changed("shift", "moved/catalog", "v2=50%");
    expect(shifted?.lines).toEqual(["shifted moved/catalog rule 1: v1 90%→50%, v2 10%→50%"]);
    const unknown = await mesh.heddle(["shift", "moved/catalog", "v3=50"]);
    expect(unknown).toMatchObject({ code: 1, stdout: "" });
    expect(unknown.stderr).toContain("moved/catalog has no subset v3; there are: v1, v2");
    expect((await mesh.heddle(["shift", "moved/catalog", "v2"])).code).toBe(2);
  });

  test("delete shows what goes, and goes by the file as well", async () => {
    const file = await mesh.shopIn("gone");
    const limit = await mesh.changed("delete", "rl/payment", "-n", "gone", "--yes");
    expect(limit[0]?.lines).toEqual(["lifted the rate limit payment of gone/payment"]);
    const mistaken = await mesh.heddle(["delete", "rt/gone/catalogue", "--yes"]);
    expect(mistaken.code).toBe(1);
    expect(mistaken.stderr).toContain("there is no Route/gone/catalogue; did you mean Route/gone/catalog?");
    const rest = await mesh.heddle(["delete", "-f", file, "--yes"]);
    expect(rest.code).toBe(0);
    expect(rest.stderr).toContain("RateLimit/gone/payment is not there");
    expect(await mesh.json(["get", "-n", "gone"])).toEqual([]);
  });
});

describe("history", () => {
  test("log tells who, what and why; show tells all of it", async () => {
    const [shifted] = await mesh.changed("shift", "told/catalog", "v2=30", "--reason", "half\u001b[2J way");
    const revision = String(shifted?.revision);
    const { stdout } = await mesh.heddle([
      "log",
      "-n",
      "told",
      "--service",
      "catalog",
      "--kind",
      "route",
      "--since",
      "1h",
    ]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(
      new RegExp(`^${revision} .* ada +shifted told/catalog rule 1: v1 90%→70%, v2 10%→30% "half\uFFFD\\[2J way"$`),
    );
    const shown = await mesh.heddle(["show", revision]);
    expect(shown.stdout).toMatch(/^signature +verified$/m);
    expect(shown.stdout).toMatch(/^previous +[0-9a-f]{64} \(revision \d+\)$/m);
    expect(shown.stdout).toContain("Route/told/catalog changed");
    expect(shown.stdout).toMatch(/^- +- \{ subset: v1, weight: 90 \}$/m);
    expect(shown.stdout).toMatch(/^\+ +- \{ subset: v1, weight: 70 \}$/m);
    expect(shown.stdout + stdout).not.toContain("\u001b");
    expect(await mesh.json(["show", revision])).toMatchObject({ signature: "verified", chainIntact: true });
    const found = (await mesh.json(["log", "--grep", "HALF", "--until", revision])) as { revision: number }[];
    expect(found.map((entry) => String(entry.revision))).toEqual([revision]);
    const { stdout: events } = await mesh.heddle(["log", "-n", "told", "--access", "-o", "cloudevents"]);
    expect(JSON.parse(events)).toMatchObject([{ specversion: "1.0", type: "io.heddle.change.v1", subject: "told" }]);
  });

  test("log follows what happens from now on", async () => {
    const run = mesh.onTerminal(["log", "-n", "followed", "--follow"]);
    await run.sees("declared followed/catalog");
    await mesh.changed("shift", "followed/catalog", "v2=40");
    await run.sees("shifted followed/catalog rule 1");
    run.type("\u0003");
    expect(await run.ended()).toBe(0);
    expect((await mesh.heddle(["log", "--follow", "--until", "1"])).code).toBe(2);
  });

  test("show calls a signature by somebody else what it is", async () => {
    const forged = await forge("forged");
    const { stdout } = await mesh.heddle(["show", String(forged)]);
    expect(stdout).toMatch(/^signature +NOT VALID/m);
    expect(stdout).toMatch(/^previous .* BROKEN: nothing stands before it$/m);
    expect(stdout).not.toContain("\u009b");
  });

  test("rollback goes back, and back again", async () => {
    const start = await mesh.log.lastRevision();
    await mesh.changed("shift", "undone/catalog", "v2=100");
    const [allowed] = await mesh.changed("allow", "undone/web", "undone/payment");
    const dry = await mesh.heddle(["rollback", String(start), "-n", "undone", "--dry-run"]);
    expect(dry.stdout).toContain("  - revoked undone/web → undone/payment\n");
    const only = ["--only", "Route/undone/catalog"];
    const [route] = await mesh.changed("rollback", String(start), ...only, "--yes", "--reason", "v2 times out");
    expect(route?.lines.at(-1)).toBe("shifted undone/catalog rule 1: v1 0%→90%, v2 100%→10%");
    const [all] = await mesh.changed("rollback", String(start), "-n", "undone", "--yes", "--wait");
    expect(all?.lines).toContain("revoked undone/web → undone/payment");
    const nothing = await mesh.heddle(["rollback", String(start), "-n", "undone", "--yes"]);
    expect(nothing).toMatchObject({ code: 0, stdout: "nothing to change\n" });
    await mesh.changed("rollback", String(allowed?.revision), "-n", "undone", "--yes");
    const { stdout } = await mesh.heddle(["get", "rt/catalog", "-n", "undone", "-o", "yaml"]);
    expect(stdout).toContain("{ subset: v2, weight: 100 }");
    expect((await mesh.heddle(["rollback", "999999"])).stderr).toContain("there is no revision 999999");
  });

  /** A change that no operator signed, written by somebody with the control plane's credentials. */
  async function forge(namespace: string): Promise<number> {
    const spec = { ports: [{ port: 80, protocol: "http" as const }] };
    const change = changeOf(namespace, [{ type: "ServiceDeclared", namespace, name: "a", spec }], {
      actor: "ada\u009b2J",
      revision: 1,
      previous: "f".repeat(64),
    });
    const publicKey = "UADCGPV4VXB5IS5J46DL64I7SWM2SYHFI3O3A7B4OP34CKW3HIHHOY7Q";
    const data = { ...change.data, actor: { ...change.data.actor, publicKey } };
    const command = { ...data.command, signature: Buffer.alloc(64).toString("base64url") };
    const appended = await mesh.log.append({ ...change, id: `forged-${namespace}`, data: { ...data, command } }, 0);
    if (!appended.ok) throw new Error("the namespace was not empty");
    return appended.value.revision;
  }
});

describe("wait and status", () => {
  test("wait knows what there is to wait for", async () => {
    const { code, stdout } = await mesh.heddle(["wait", "latest", "--timeout", "5s"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^revision \d+ is in force, but no instance is connected yet\n$/);
    expect(await mesh.json(["wait", "1"])).toMatchObject({ revision: 1, applied: true });
    expect((await mesh.heddle(["wait", "999999"])).stderr).toContain("there is no revision 999999");
    expect((await mesh.heddle(["wait", "soon"])).code).toBe(2);
    expect((await mesh.heddle(["wait", "1", "--timeout", "1d"])).code).toBe(2);
  });

  test("an instance that lags is named, with the reason, until it follows", async () => {
    const status = {
      instance: "web-1",
      namespace: "lagging",
      service: "web",
      state: "ready" as const,
      host: "127.0.0.1",
      port: 15006,
      labels: {},
      startedAt: new Date().toISOString(),
      version: "test",
      revision: 0,
    };
    await mesh.heartbeat(status);
    const late = await mesh.heddle(["wait", "latest", "--timeout", "200ms"]);
    expect(late.code).toBe(1);
    expect(late.stdout).toMatch(/^lagging\/web +web-1 +0 +\S/m);
    expect(late.stderr).toStartWith("heddle: 1 instance does not enforce revision");
    const shifted = await mesh.heddle(["allow", "lagging/orders", "lagging/web", "--wait", "--timeout", "200ms"]);
    expect(shifted.code).toBe(1);
    expect(shifted.stdout).toMatch(/^lagging is at revision \d+$/m);
    const revision = await mesh.log.lastRevision();
    await mesh.heartbeat({ ...status, revision: revision - 1 });
    const { stdout } = await mesh.heddle(["status", "-n", "lagging"]);
    expect(stdout).toMatch(new RegExp(`^lagging/web +web-1 +ready +${revision - 1} +1 +none +(now|\\ds ago)$`, "m"));
    await mesh.heartbeat({ ...status, revision });
    const applied = await mesh.json(["wait", String(revision)]);
    expect(applied).toMatchObject({ applied: true, convergenceMs: expect.any(Number) });
    await mesh.heartbeat({ ...status, state: "gone", revision });
  });

  test("status names the services that nobody serves", async () => {
    const { code, stdout } = await mesh.heddle(["status", "-n", "stated"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^mesh mesh.local: the ledger is at revision \d+, control at \d+\n/);
    expect(stdout).toContain("\n  stated/web\n");
  });
});

describe("permissions", () => {
  test("a viewer reads, and may not change anything", async () => {
    const creds = await mesh.viewer("vera");
    expect((await mesh.heddle(["log", "-n", "watched"], { creds })).code).toBe(0);
    expect((await mesh.heddle(["get", "-n", "watched"], { creds })).code).toBe(0);
    const refused = await mesh.heddle(["shift", "watched/catalog", "v2=1"], { creds });
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("vera may not change the namespace watched");
  });
});

test("every command's help shows an example", async () => {
  const names = ["apply", "get", "delete", "allow", "deny", "shift", "log", "show", "rollback", "status", "wait"];
  const helps = await Promise.all(names.map((name) => mesh.heddle([name, "--help"])));
  for (const [index, { code, stdout }] of helps.entries()) {
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: heddle ${names[index]} `);
    expect(stdout).toContain(`\n  heddle ${names[index]}`);
  }
});
