import { describe, expect, test } from "bun:test";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CustodyError, FIRST_GENERATION } from "../../src/ca/custody.ts";
import { FileCustody } from "../../src/ca/file-custody.ts";
import { KeySeal, SEALED_LABEL } from "../../src/ca/key-seal.ts";
import { openAuthorityIn } from "../../src/ca/open-authority.ts";
import { decodePem, encodePem } from "../../src/ca/workload/pem.ts";
import { temporaryDirectory } from "./temporary.ts";

const OPTIONS = { trustDomain: "mesh.local", nowMs: Date.now() };
const seal = new KeySeal(Buffer.from("correct horse battery staple"));
const other = new KeySeal(Buffer.from("incorrect horse battery staple"));
const KEY = Buffer.from("a private key, or so it is said");

describe("a sealed key", () => {
  test("opens under the secret, and is never sealed alike twice", async () => {
    const [one, two] = [await seal.seal(KEY), await seal.seal(KEY)];
    expect(one).not.toBe(two);
    const opened = await seal.open(one);
    expect(opened.ok && Buffer.from(opened.value).equals(KEY)).toBe(true);
  });

  test("opens under no other secret", async () => {
    expect(await other.open(await seal.seal(KEY))).toEqual({
      ok: false,
      error: "is sealed under another secret, or damaged",
    });
  });

  test("opens after no change, whichever octet it is", async () => {
    const [bytes = new Uint8Array()] = decodePem(SEALED_LABEL, await seal.seal(KEY)) ?? [];
    // Parameters, salt, nonce, ciphertext, tag; a few of each, since every attempt costs as much as a guess does.
    for (const at of [0, 1, 2, 3, 4, 20, 32, 40, bytes.length - 1]) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x21;
      expect((await seal.open(encodePem(SEALED_LABEL, damaged))).ok).toBe(false);
    }
    for (const length of [0, 3, 32, 48, bytes.length - 1]) {
      expect((await seal.open(encodePem(SEALED_LABEL, bytes.subarray(0, length)))).ok).toBe(false);
    }
  });

  test("a short secret is none", () => {
    expect(() => new KeySeal(Buffer.from("hunter2"))).toThrow(RangeError);
  });
});

describe("an authority under a secret", () => {
  test("has no key in the clear on disk, and opens again", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "ca");
    const first = await openAuthorityIn(new FileCustody(path, seal), OPTIONS);
    for (const file of ["root.pem", "issuer.pem"]) {
      const text = await readFile(join(path, file), "utf8");
      expect(text).toContain(`BEGIN ${SEALED_LABEL}`);
      expect(text).not.toContain("BEGIN PRIVATE KEY");
    }
    expect((await openAuthorityIn(new FileCustody(path, seal), OPTIONS)).rootPem).toBe(first.rootPem);
    for (const wrong of [other, undefined]) {
      await expect(openAuthorityIn(new FileCustody(path, wrong), OPTIONS)).rejects.toThrow(CustodyError);
    }
  });

  test("can be put under one, under another, and back into the clear", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "ca");
    const { rootPem } = await openAuthorityIn(new FileCustody(path), OPTIONS);
    const steps: [KeySeal | undefined, KeySeal | undefined][] = [
      [undefined, seal],
      [seal, other],
      [other, undefined],
    ];
    for (const [from, to] of steps) {
      expect(await new FileCustody(path, from).reseal(to)).toHaveLength(2);
      expect((await openAuthorityIn(new FileCustody(path, to), OPTIONS)).rootPem).toBe(rootPem);
    }
  });

  test("is left as it is where one file cannot be opened", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "ca");
    await openAuthorityIn(new FileCustody(path, seal), OPTIONS);
    const issuer = await readFile(join(path, "issuer.pem"), "utf8");
    await writeFile(join(path, "root.pem"), await other.seal(KEY));
    await chmod(join(path, "root.pem"), 0o600);
    await expect(new FileCustody(path, seal).reseal(undefined)).rejects.toThrow("another secret");
    expect(await readFile(join(path, "issuer.pem"), "utf8")).toBe(issuer);
    expect(await new FileCustody(path, seal).load("issuer", FIRST_GENERATION)).toBeDefined();
  });
});
