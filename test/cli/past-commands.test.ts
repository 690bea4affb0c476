/** What commands say of a past that is more than policy: operators, tokens, faults, identities. As processes. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { CliMesh, type Outcome, SHOP } from "./cli-mesh.ts";

// Each command is a process, on a machine that may be busy.
setDefaultTimeout(90_000);

let mesh: CliMesh;

/** Revisions: 1 the mesh, 2 the shop, 3 bob, 4 a fault, 5 the fault's end, 6 a revoked identity, 7 bob's revocation. */
beforeAll(async () => {
  mesh = await CliMesh.start();
  for (const args of [
    ["apply", "-y", "-f", SHOP],
    ["operator", "add", "bob", "--role", "viewer", "--out", await mesh.file("bob.creds", "")],
    ["fault", "inject", "shop/catalog", "--abort", "503", "--yes"],
    ["fault", "clear", "shop/catalog", "--yes"],
    ["identity", "revoke", "shop/catalog", "--yes"],
    ["operator", "revoke", "bob", "--yes"],
  ]) {
    const { code, stderr } = await mesh.heddle(args);
    expect([code, stderr]).toEqual([0, expect.anything()]);
  }
});

afterAll(() => mesh.stop());

async function failing(...args: string[]): Promise<Outcome> {
  const outcome = await mesh.heddle(args);
  expect(outcome.code).not.toBe(0);
  return outcome;
}

test("at runs the subcommands that read, as of then", async () => {
  const names = async (revision: string): Promise<string[]> => {
    const operators = (await mesh.json(["at", revision, "operator", "list"])) as { readonly name: string }[];
    return operators.map(({ name }) => name);
  };
  expect(await names("2")).toEqual(["ada"]);
  expect(await names("6")).toEqual(["ada", "bob"]);
  expect(await names("7")).toEqual(["ada"]);
  expect(await mesh.json(["at", "4", "fault", "list"])).toMatchObject([{ service: "catalog" }]);
  expect(await mesh.json(["at", "5", "fault", "list"])).toEqual([]);
  expect((await mesh.heddle(["at", "1", "ca", "bundle"])).stdout).toStartWith("-----BEGIN CERTIFICATE-----");
  const { code, stderr } = await failing("at", "4", "operator", "revoke", "ada");
  expect([code, stderr]).toEqual([2, expect.stringContaining("operator has no past")]);
});

test("a time before the first change is said to be one, and one to come is refused", async () => {
  const early = await mesh.heddle(["at", "2020-01-01", "get"]);
  expect(early.stderr).toContain("2020-01-01T00:00:00.000Z is before the first change");
  const { code, stderr } = await failing("rollback", "2999-01-01");
  expect([code, stderr]).toEqual([1, "heddle: 2999-01-01T00:00:00.000Z has not come yet\n"]);
});

test("show takes the last change by name, and impact says where there is none", async () => {
  expect(await mesh.json(["show", "head~1"])).toMatchObject({ revision: 6 });
  const { code, stderr } = await failing("impact", "head~99");
  expect([code, stderr]).toEqual([1, "heddle: there are fewer than 99 changes\n"]);
});

test("an export of the end alone is verified as that, and what is none says why", async () => {
  const { stdout } = await mesh.heddle(["export", "--since", "5"]);
  const end = await mesh.heddle(["verify", await mesh.file("end.jsonl", stdout)]);
  expect([end.code, end.stdout]).toEqual([0, expect.stringContaining("2 changes from revision 6 on in 2 namespaces")]);
  expect(end.stdout).toContain("what came before revision 6 is not in it");
  const packed = await mesh.file("end.jsonl.gz", "");
  await Bun.write(packed, Bun.gzipSync(Buffer.from(stdout)));
  expect((await failing("verify", packed)).stderr).toContain("is compressed: gunzip it");
  expect((await failing("verify", "/nowhere.jsonl")).stderr).toBe("heddle: /nowhere.jsonl: there is no such file\n");
});

test("diff names an identity that was revoked", async () => {
  expect((await mesh.heddle(["diff", "5", "6"])).stdout).toContain("revoked the identity of shop/catalog");
});

test("a rollback says who stays shut out, also where no policy changes", async () => {
  const { code, stdout, stderr } = await mesh.heddle(["rollback", "5", "--dry-run"]);
  expect([code, stdout]).toEqual([0, "nothing to change\n"]);
  expect(stderr).toContain("  revoked the operator bob\n  revoked the identity of shop/catalog\n");
});

test("a revert of what is no policy names the command that undoes it", async () => {
  const undone = async (revision: string): Promise<string> => (await failing("revert", revision, "--yes")).stderr;
  expect(await undone("6")).toContain("heddle identity reinstate shop/catalog");
  expect(await undone("3")).toContain("heddle operator revoke bob");
  expect(await undone("7")).toContain("void for good");
  expect(await undone("4")).toContain("is over");
});
