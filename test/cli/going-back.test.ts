/** `rollback`, `revert` and `access diff`, as processes, against a real mesh. Each test has a namespace to itself. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { changeOf } from "../support/ledger.ts";
import { CliMesh } from "./cli-mesh.ts";

// Each command is a process, on a machine that may be busy.
setDefaultTimeout(60_000);

const NAMESPACES = ["others", "spared", "undone", "stuck", "returned"];

let mesh: CliMesh;

beforeAll(async () => {
  mesh = await CliMesh.start();
  await mesh.openShops(NAMESPACES);
});

afterAll(async () => {
  await mesh.stop();
});

/** Revision of a namespace's last change. */
async function revisionOf(namespace: string): Promise<number> {
  const [last] = await Array.fromAsync(mesh.log.read({ namespace })).then((all) => all.reverse());
  return last?.revision ?? 0;
}

/** What somebody else did meanwhile, as the control plane would have recorded it. */
async function bob(namespace: string, events: DomainEvent[]): Promise<number> {
  const [last] = await Array.fromAsync(mesh.log.read({ namespace })).then((all) => all.reverse());
  if (last === undefined) throw new Error("there is no change before");
  const change = changeOf(namespace, events, { actor: "bob", revision: last.revision, previous: last.hash });
  const named = {
    ...change,
    id: `bob-${namespace}-${last.revision}`,
    data: { ...change.data, reason: "bob's reason" },
  };
  const appended = await mesh.log.append(named, last.revision);
  if (!appended.ok) throw new Error("somebody was first");
  return appended.value.revision;
}

const timeout = (namespace: string): DomainEvent => {
  return { type: "RouteTimeoutSet", namespace, name: "catalog", service: "catalog", rule: 1, from: "3s", to: "9s" };
};

describe("rollback", () => {
  test("refuses to undo later changes of others, and says which and what to choose", async () => {
    const start = await revisionOf("others");
    await mesh.done("shift", "others/catalog", "v2=50%");
    const theirs = await bob("others", [timeout("others")]);
    const refused = await mesh.heddle(["rollback", String(start), "-n", "others", "-y"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("this would undo a later change of others:");
    expect(refused.stderr).toMatch(new RegExp(`revision ${theirs} by bob, .* "bob's reason": set the timeout`));
    expect(refused.stderr).toContain("--except Route/others/catalog");
    expect(await revisionOf("others")).toBe(theirs);
    const shown = await mesh.done("rollback", String(start), "-n", "others", "--dry-run");
    expect(shown).toContain("set the timeout of others/catalog rule 1 from 9s to 3s");
    await mesh.done("rollback", String(start), "-n", "others", "-y", "--with-others");
    expect(await mesh.done("diff", String(start), "-n", "others")).toBe("");
  });

  test("leaves what is excepted, and goes back by a service's name or by a time", async () => {
    const start = await revisionOf("spared");
    await mesh.done("allow", "spared/web", "spared/payment");
    await mesh.done("shift", "spared/catalog", "v2=50%");
    await bob("spared", [timeout("spared")]);
    const back = await mesh.done("rollback", String(start), "-n", "spared", "-y", "--except", "spared/catalog");
    expect(back).toContain("- spared/web → spared/payment any call\n");
    expect(back).toContain("calls that stop being possible");
    expect(await mesh.done("diff", String(start), "-n", "spared")).toContain("shifted spared/catalog rule 1");
    const only = ["rollback", String(start), "-n", "spared", "--only", "spared/catalog", "--with-others", "-y"];
    expect(await mesh.done(...only)).toContain("rolled Route/spared/catalog back");
    expect(await mesh.done("diff", String(start), "-n", "spared")).toBe("");
  });

  test("of a rollback works", async () => {
    const start = await revisionOf("returned");
    await mesh.done("shift", "returned/catalog", "v2=50%");
    const shifted = await revisionOf("returned");
    await mesh.done("rollback", String(start), "-n", "returned", "-y");
    expect(await mesh.done("rollback", String(shifted), "-n", "returned", "-y")).toContain("v2 10%→50%");
    expect(await mesh.done("diff", String(shifted), "-n", "returned")).toBe("");
  });
});

describe("revert", () => {
  test("undoes one change and keeps the later ones", async () => {
    await mesh.done("allow", "undone/web", "undone/payment", "--methods", "GET");
    const granted = await revisionOf("undone");
    await mesh.done("shift", "undone/catalog", "v2=50%");
    const outcome = await mesh.json(["revert", String(granted), "-y", "--reason", "not needed"]);
    expect(outcome).toMatchObject({
      changes: [{ namespace: "undone", lines: expect.arrayContaining([`reverted revision ${granted} in undone`]) }],
      access: [{ caller: "undone/web", service: "undone/payment", change: "stopped" }],
    });
    expect(await mesh.done("get", "route/catalog", "-n", "undone", "-o", "yaml")).toContain("weight: 50");
    const again = await mesh.heddle(["revert", String(granted), "-y"]);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("is in force any more")]);
  });

  test("says which later change stands in the way", async () => {
    await mesh.done("shift", "stuck/catalog", "v2=50%");
    const shifted = await revisionOf("stuck");
    await mesh.done("shift", "stuck/catalog", "v2=60%", "--reason", "more of it");
    const { code, stderr } = await mesh.heddle(["revert", String(shifted), "-y"]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `Route/stuck/catalog spec.rules[1].backends[0].weight: written again by ada at revision ${shifted + 1} "more of it"`,
    );
    expect(await revisionOf("stuck")).toBe(shifted + 1);
  });
});

test("access diff says which calls became possible, and sets the exit code when asked", async () => {
  const first = await revisionOf("others");
  expect(await mesh.done("access", "diff", "1", String(first), "-n", "others")).toContain(
    "+ others/orders → others/payment POST /charge\n",
  );
  const same = await mesh.heddle(["access", "diff", "head", "--exit-code"]);
  expect([same.code, same.stderr]).toEqual([0, "the same calls are possible\n"]);
  expect((await mesh.heddle(["access", "diff", "1", "--exit-code"])).code).toBe(1);
});
