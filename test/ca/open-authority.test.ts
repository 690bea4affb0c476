import { describe, expect, test } from "bun:test";
import { chmod, cp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ISSUER_LIFE_MS, ISSUER_RENEWAL_MS, ROOT_LIFE_MS } from "../../src/ca/authority.ts";
import { CustodyError } from "../../src/ca/custody.ts";
import { FileCustody } from "../../src/ca/file-custody.ts";
import { openAuthority, openAuthorityIn } from "../../src/ca/open-authority.ts";
import { decodePem, parseBundle } from "../../src/ca/workload/pem.ts";
import { makeCsr } from "./requests.ts";
import { temporaryDirectory } from "./temporary.ts";

const NOW = Date.parse("2026-11-01T12:00:00Z");
const OPTIONS = { trustDomain: "mesh.local", nowMs: NOW };

async function mode(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8);
}

function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function issuerPem(directory: string): Promise<string> {
  return Bun.file(join(directory, "ca", "issuer.pem")).text();
}

test("made on first use, the same ever after", async () => {
  await using directory = await temporaryDirectory();
  const first = await openAuthority(directory.path, OPTIONS);
  const second = await openAuthority(directory.path, { ...OPTIONS, nowMs: NOW + 1000 });
  expect(second.rootPem).toBe(first.rootPem);
  expect(second.rootFingerprint).toMatch(/^[0-9a-f]{64}$/);
  expect(second.rootNotAfterMs).toBe(NOW + ROOT_LIFE_MS);
  expect(second.issuer.notAfterMs).toBe(first.issuer.notAfterMs);
  expect(parseBundle(first.rootPem)).toEqual({ ok: true, value: [first.rootPem] });

  const csr = (await makeCsr()).toString("pem");
  const request = { spiffeId: "spiffe://mesh.local/ns/shop/sa/orders", ttlMs: 3_600_000, nowMs: NOW };
  expect((await second.issuer.sign(csr, request)).ok).toBe(true);
});

test("files are for their owner only, and nothing else is left behind", async () => {
  await using directory = await temporaryDirectory();
  await openAuthority(directory.path, OPTIONS);
  const ca = join(directory.path, "ca");
  expect((await readdir(ca)).sort()).toEqual(["issuer.pem", "root.pem"]);
  expect(await mode(ca)).toBe("700");
  for (const file of ["root.pem", "issuer.pem"]) {
    expect(await mode(join(ca, file))).toBe("600");
    const text = await Bun.file(join(ca, file)).text();
    expect(decodePem("PRIVATE KEY", text)).toHaveLength(1);
    expect(decodePem("CERTIFICATE", text)).toHaveLength(1);
  }
});

test("replicas that start at once agree on one root", async () => {
  await using directory = await temporaryDirectory();
  const replicas = await Promise.all(Array.from({ length: 5 }, () => openAuthority(directory.path, OPTIONS)));
  expect(new Set(replicas.map((replica) => replica.rootPem)).size).toBe(1);
  expect((await readdir(join(directory.path, "ca"))).sort()).toEqual(["issuer.pem", "root.pem"]);
});

test("the issuing certificate is replaced when it nears its end, and not before", async () => {
  await using directory = await temporaryDirectory();
  const { rootPem } = await openAuthority(directory.path, OPTIONS);
  const first = await issuerPem(directory.path);
  const due = NOW + ISSUER_LIFE_MS - ISSUER_RENEWAL_MS;
  await openAuthority(directory.path, { ...OPTIONS, nowMs: due - 1000 });
  expect(await issuerPem(directory.path)).toBe(first);
  const renewed = await openAuthority(directory.path, { ...OPTIONS, nowMs: due });
  expect(renewed.rootPem).toBe(rootPem);
  expect(renewed.issuer.notAfterMs).toBe(due + ISSUER_LIFE_MS);
  expect(await issuerPem(directory.path)).not.toBe(first);
});

test("a root without an issuing certificate (a start that broke off) gets one", async () => {
  await using directory = await temporaryDirectory();
  const { rootPem } = await openAuthority(directory.path, OPTIONS);
  await rm(join(directory.path, "ca", "issuer.pem"));
  expect((await openAuthority(directory.path, OPTIONS)).rootPem).toBe(rootPem);
});

test("an issuing certificate of another root is replaced", async () => {
  await using directory = await temporaryDirectory();
  await using other = await temporaryDirectory();
  await openAuthority(directory.path, OPTIONS);
  await openAuthority(other.path, OPTIONS);
  await cp(join(other.path, "ca", "issuer.pem"), join(directory.path, "ca", "issuer.pem"));
  await openAuthority(directory.path, OPTIONS);
  expect(await issuerPem(directory.path)).not.toBe(await issuerPem(other.path));
});

describe("refused, with what to do", () => {
  test("an issuing certificate without its root", async () => {
    await using directory = await temporaryDirectory();
    await openAuthority(directory.path, OPTIONS);
    await rm(join(directory.path, "ca", "root.pem"));
    const error = await failure(openAuthority(directory.path, OPTIONS));
    expect(error).toBeInstanceOf(CustodyError);
    expect(String(error)).toContain("restore the root from a backup");
  });

  test.each([
    ["root.pem", 0o644, "chmod 600"],
    ["issuer.pem", 0o640, "chmod 600"],
    [".", 0o755, "chmod 700"],
  ])("%s open to others", async (name, fileMode, words) => {
    await using directory = await temporaryDirectory();
    await openAuthority(directory.path, OPTIONS);
    const path = join(directory.path, "ca", name).replace(/\/$/, "");
    await chmod(path, fileMode);
    const error = await failure(openAuthority(directory.path, OPTIONS));
    expect(error).toBeInstanceOf(CustodyError);
    expect(String(error)).toContain(`${words} ${path}`);
  });

  test("a root that the mesh has and this directory has not; none is made in its place", async () => {
    await using directory = await temporaryDirectory();
    const custody = new FileCustody(join(directory.path, "ca"));
    const error = await failure(openAuthorityIn(custody, { ...OPTIONS, root: "ab".repeat(32) }));
    expect(error).toBeInstanceOf(CustodyError);
    expect(String(error)).toContain("the keys of the root abababababababab, which signs for the mesh, are not here");
    expect(await custody.generations()).toEqual([]);
  });

  test("another trust domain", async () => {
    await using directory = await temporaryDirectory();
    await openAuthority(directory.path, OPTIONS);
    const error = await failure(openAuthority(directory.path, { ...OPTIONS, trustDomain: "other.local" }));
    expect(String(error)).toContain("the root is for spiffe://mesh.local, the mesh is spiffe://other.local");
  });

  test("signing under an expired root; the authority opens all the same, since that is how it gets another", async () => {
    await using directory = await temporaryDirectory();
    await openAuthority(directory.path, OPTIONS);
    const nowMs = NOW + ROOT_LIFE_MS;
    const { issuer } = await openAuthority(directory.path, { ...OPTIONS, nowMs });
    const request = { spiffeId: "spiffe://mesh.local/ns/shop/sa/orders", ttlMs: 3_600_000, nowMs };
    expect(await issuer.sign((await makeCsr()).toString("pem"), request)).toEqual({
      ok: false,
      error: "the mesh's root has expired, nothing can be signed: heddle ca rotate",
    });
  });

  test("half a file, a key without its certificate, a key of another certificate; never the key in the message", async () => {
    await using directory = await temporaryDirectory();
    await openAuthority(directory.path, OPTIONS);
    const path = join(directory.path, "ca", "root.pem");
    const whole = await Bun.file(path).text();
    const issuer = await issuerPem(directory.path);
    const keyEnd = "-----END PRIVATE KEY-----\n";
    const [key, certificate] = [whole.slice(0, whole.indexOf(keyEnd) + keyEnd.length), whole.split(keyEnd)[1] ?? ""];
    const otherKey = issuer.slice(0, issuer.indexOf(keyEnd) + keyEnd.length);
    for (const text of ["", whole.slice(0, 300), key, otherKey + certificate, whole + certificate]) {
      await writeFile(path, text);
      const error = await failure(openAuthority(directory.path, OPTIONS));
      expect(error).toBeInstanceOf(CustodyError);
      expect(String(error)).toContain("restore it from a backup");
      for (const line of key.split("\n").slice(1, -2)) expect(String(error)).not.toContain(line);
    }
    await writeFile(path, whole);
    expect((await openAuthority(directory.path, OPTIONS)).rootFingerprint).toHaveLength(64);
  });
});
