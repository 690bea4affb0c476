/** `heddle operator` and `heddle token`, as people use them. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { CliMesh } from "./cli-mesh.ts";

let mesh: CliMesh;
beforeAll(async () => {
  mesh = await CliMesh.start();
});
afterAll(() => mesh.stop());

const SERVICE =
  "apiVersion: heddle/v1\nkind: Service\nmetadata: { namespace: NS, name: web }\nspec: { ports: [{ port: 80, protocol: http }] }\n";

async function applying(namespace: string, creds: string) {
  const file = await mesh.file(`${namespace}.yaml`, SERVICE.replace("NS", namespace));
  return mesh.heddle(["apply", "-f", file, "--yes"], { creds });
}

test("an editor edits what is granted, and is out once revoked", async () => {
  const alice = await mesh.file("alice.creds", "");
  const added = await mesh.heddle([
    "operator",
    "add",
    "alice",
    "--role",
    "editor",
    "--namespace",
    "shop",
    "--out",
    alice,
    "--reason",
    "joins",
  ]);
  expect(added).toMatchObject({ code: 0, stdout: "" });
  expect((await stat(alice)).mode & 0o777).toBe(0o600);
  expect((await applying("shop", alice)).code).toBe(0);
  const elsewhere = await applying("bank", alice);
  expect(elsewhere.stderr).toContain("alice may not change the namespace bank: the credentials do not allow it");
  const promoted = await mesh.heddle(["operator", "add", "eve", "--role", "admin"], { creds: alice });
  expect(promoted).toMatchObject({ code: 1, stdout: "" });
  expect((await mesh.heddle(["operator", "list"])).stdout).toMatch(/alice +editor +shop +U/);

  const revoked = await mesh.heddle(["operator", "revoke", "alice", "--yes"]);
  expect(revoked.stderr).toContain("alice is shut out: NATS has closed what was open");
  const late = await mesh.heddle(["log"], { creds: alice });
  expect(late.stderr).toContain("refuses the credentials of alice");
  const { stdout } = await mesh.heddle(["log"]);
  expect(stdout).toContain('added alice as editor of shop "joins"');
  expect(stdout).toContain("revoked the operator alice");
});

test("nobody shuts out themselves, or the last admin, without meaning to", async () => {
  const revoke = (name: string, ...more: string[]) => mesh.heddle(["operator", "revoke", name, "--yes", ...more]);
  const own = /^(\S+) \(you\)/m.exec((await mesh.heddle(["operator", "list"])).stdout)?.[1] ?? "";
  const alone = await revoke(own, "--myself");
  expect([alone.code, alone.stderr]).toEqual([1, expect.stringContaining(`${own} is the last admin`)]);
  const zoe = await mesh.file("zoe.creds", "");
  expect((await mesh.heddle(["operator", "add", "zoe", "--role", "admin", "--out", zoe])).code).toBe(0);
  const kept = await mesh.heddle(["operator", "revoke", "zoe", "--yes"], { creds: zoe });
  expect([kept.code, kept.stderr]).toEqual([1, expect.stringContaining("zoe is you")]);
  const gone = await mesh.heddle(["operator", "revoke", "zoe", "--yes", "--myself"], { creds: zoe });
  expect([gone.code, gone.stderr]).toEqual([0, expect.stringContaining(`${own} is the only admin left`)]);
  expect((await mesh.heddle(["log"], { creds: zoe })).stderr).toContain("refuses the credentials of zoe");
});

test("a token is listed by its terms, and gone when revoked", async () => {
  const made = await mesh.heddle(["token", "create", "shop/orders", "--uses", "2", "--ttl", "1h"]);
  expect(made.stdout).toContain("BEGIN USER NKEY SEED");
  const id = /created token (\w+) for shop\/orders/.exec(made.stderr)?.[1] ?? "";
  const { stdout } = await mesh.heddle(["token", "list", "-n", "shop"]);
  expect(stdout).toMatch(new RegExp(`${id} +shop/orders +0 of 2 +`));
  expect((await mesh.heddle(["token", "list", "-n", "bank"])).stdout).toBe("there are no tokens\n");
  const secret = /SU[A-Z2-7]{50,}/.exec(made.stdout)?.[0] ?? "no secret";
  expect(JSON.stringify(await mesh.json(["log"]))).not.toContain(secret);

  expect((await mesh.heddle(["token", "revoke", "nobody", "--yes"])).stderr).toContain("there is no token nobody");
  const revoked = await mesh.heddle(["token", "revoke", id.toLowerCase().slice(0, 6), "--yes"]);
  expect(revoked.stderr).toContain(`token ${id} is shut out`);
  expect((await mesh.heddle(["token", "list"])).stdout).toBe("there are no tokens\n");
});

test("what makes no sense is refused before anything is sent", async () => {
  const bare = await mesh.heddle(["operator", "add", "bob", "--role", "editor"]);
  expect(bare).toMatchObject({ code: 2, stderr: "heddle: --namespace: name what the editor may change\n" });
  expect((await mesh.heddle(["operator", "add", "bob", "--role", "king"])).code).toBe(2);
  expect((await mesh.heddle(["token", "create", "shop/orders", "--uses", "0"])).code).toBe(2);
  const missing = await mesh.heddle(["log"], { creds: "/nowhere/alice.creds" });
  expect(missing.stderr).toBe("heddle: /nowhere/alice.creds: there is no such file; it should hold NATS credentials\n");
});
