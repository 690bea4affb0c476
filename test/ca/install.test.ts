/** An issuing certificate under a root that is kept elsewhere. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { FIRST_GENERATION } from "../../src/ca/custody.ts";
import { FileCustody } from "../../src/ca/file-custody.ts";
import { type Installation, installIssuer, issuingRequest } from "../../src/ca/install.ts";
import { nextAuthority, openAuthorityIn } from "../../src/ca/open-authority.ts";
import { fingerprint } from "../../src/ca/workload/pem.ts";
import * as x509 from "../../src/ca/x509.ts";
import { type Forged, type ForgeOptions, forge } from "./forge.ts";
import { makeCsr } from "./requests.ts";
import { temporaryDirectory } from "./temporary.ts";

const NOW = Date.now();
const DAY_MS = 86_400_000;
const TRUST = { trustDomain: "mesh.local", nowMs: NOW };
const { keyCertSign, cRLSign, digitalSignature } = x509.KeyUsageFlags;
const SIGNING: ForgeOptions = {
  ca: true,
  keyUsage: keyCertSign | cRLSign,
  extendedKeyUsage: undefined,
  uris: [],
  notAfter: new Date(NOW + 100 * DAY_MS),
};

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let custody: FileCustody;
beforeEach(async () => {
  directory = await temporaryDirectory();
  custody = new FileCustody(join(directory.path, "ca"));
});
afterEach(() => directory[Symbol.asyncDispose]());

function forgeRoot(options: ForgeOptions = {}): Promise<Forged> {
  return forge({ ...SIGNING, subject: "CN=Offline Root", pathLength: 1, ...options });
}

interface Terms {
  readonly ca?: boolean;
  readonly usage?: number;
  readonly uri?: string;
  readonly days?: number;
  readonly startsInDays?: number;
  readonly purposes?: string[];
  readonly key?: CryptoKey;
}

/** What the holder of the root makes of a request. */
async function signed(root: Forged, csrPem: string, terms: Terms = {}): Promise<string> {
  const { ca = true, usage = keyCertSign, uri, days = 90, startsInDays = 0, purposes } = terms;
  const request = new x509.Pkcs10CertificateRequest(csrPem);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: request.subject,
    issuer: root.certificate.subject,
    notBefore: new Date(NOW + startsInDays * DAY_MS - 60_000),
    notAfter: new Date(NOW + days * DAY_MS),
    publicKey: terms.key ?? (await request.publicKey.export()),
    signingKey: root.keys.privateKey,
    signingAlgorithm: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
    extensions: [
      new x509.BasicConstraintsExtension(ca, ca ? 0 : undefined, true),
      new x509.KeyUsagesExtension(usage, true),
      ...(uri === undefined ? [] : [new x509.SubjectAlternativeNameExtension([{ type: "url", value: uri }], false)]),
      ...(purposes === undefined ? [] : [new x509.ExtendedKeyUsageExtension(purposes)]),
    ],
  });
  return certificate.toString("pem");
}

function install(certificate: string, root: Forged, options: Partial<Installation> = {}) {
  return installIssuer(custody, { certificate, root: root.pem, ...TRUST, ...options });
}

describe("what comes back in order", () => {
  test("the request asks for what is needed, and is the same until it is answered", async () => {
    const request = new x509.Pkcs10CertificateRequest(await issuingRequest(custody, "mesh.local"));
    expect(await request.verify()).toBe(true);
    const constraints = request.extensions.find((one) => one instanceof x509.BasicConstraintsExtension);
    expect([constraints?.ca, constraints?.pathLength]).toEqual([true, 0]);
    const names = request.extensions.find((one) => one instanceof x509.SubjectAlternativeNameExtension)?.names;
    expect(names?.items[0]?.value).toBe("spiffe://mesh.local");
    expect(await issuingRequest(custody, "mesh.local")).toBe(request.toString("pem").concat("\n"));
  });

  test("is the mesh's first authority, and signs; its root's key is nowhere here", async () => {
    const root = await forgeRoot();
    const installed = await install(await signed(root, await issuingRequest(custody, "mesh.local")), root);
    expect(installed).toMatchObject({
      ok: true,
      value: { rootFingerprint: fingerprint(root.pem).ok && expect.any(String) },
    });
    const authority = await openAuthorityIn(custody, TRUST);
    expect([authority.isExternal, authority.rootPem]).toEqual([true, root.pem]);
    const request = { spiffeId: "spiffe://mesh.local/ns/shop/sa/orders", ttlMs: 3_600_000, nowMs: NOW };
    expect((await authority.issuer.sign((await makeCsr()).toString("pem"), request)).ok).toBe(true);
    expect((await custody.load("root", FIRST_GENERATION))?.key).toBeUndefined();
    expect(await custody.pending()).toBeUndefined();
  });

  test("under the same root, takes the place of the one before", async () => {
    const root = await forgeRoot();
    await install(await signed(root, await issuingRequest(custody, "mesh.local"), { days: 10 }), root);
    await install(await signed(root, await issuingRequest(custody, "mesh.local"), { days: 50 }), root);
    expect(await custody.generations()).toEqual([FIRST_GENERATION]);
    expect((await openAuthorityIn(custody, TRUST)).issuer.notAfterMs).toBeGreaterThan(NOW + 49 * DAY_MS);
  });

  test("under another root, is the next generation", async () => {
    const own = await openAuthorityIn(custody, TRUST);
    const root = await forgeRoot({ uris: ["spiffe://mesh.local"] });
    const terms = { uri: "spiffe://mesh.local" };
    const installed = await install(await signed(root, await issuingRequest(custody, "mesh.local"), terms), root);
    const next = installed.ok ? installed.value.rootFingerprint : "";
    expect((await openAuthorityIn(custody, { ...TRUST, root: next })).isExternal).toBe(true);
    expect((await openAuthorityIn(custody, TRUST)).rootPem).toBe(own.rootPem);
  });
});

test("a mesh whose root is elsewhere makes no root of its own", async () => {
  const root = await forgeRoot();
  await install(await signed(root, await issuingRequest(custody, "mesh.local")), root);
  const { rootFingerprint, isExternal } = await openAuthorityIn(custody, TRUST);
  await expect(nextAuthority(custody, new Set([rootFingerprint]), { ...TRUST, isExternal })).rejects.toThrow(
    "heddle ca csr, heddle ca install",
  );
});

describe("refused, and nothing is changed", () => {
  const cases: [string, Terms, string][] = [
    ["no signing certificate", { ca: false }, "no signing certificate (cA false)"],
    ["without keyCertSign", { usage: digitalSignature }, "lacks a critical keyCertSign"],
    ["of another trust domain", { uri: "spiffe://other.local" }, "must be spiffe://mesh.local"],
    ["a workload's name", { uri: "spiffe://mesh.local/ns/a/sa/b" }, "must be spiffe://mesh.local"],
    ["expired", { days: -1, startsInDays: -9 }, "the certificate expired at"],
    ["not valid yet", { startsInDays: 2 }, "is valid only from"],
    ["about to end", { days: 0.5 }, "ends within a day"],
    ["outliving the root", { days: 200 }, "outlives the root"],
    ["for clients only", { purposes: [x509.ExtendedKeyUsage.clientAuth] }, "lacks serverAuth or clientAuth"],
  ];
  test.each(cases)("%s", async (_, terms, words) => {
    const root = await forgeRoot();
    const outcome = await install(await signed(root, await issuingRequest(custody, "mesh.local"), terms), root);
    expect(outcome.ok ? "" : outcome.error).toContain(words);
    expect(await custody.generations()).toEqual([]);
    expect(await custody.pending()).toBeDefined();
  });

  test.each<[string, ForgeOptions, string]>([
    ["a root that is none", { ca: false }, "the root is no signing certificate"],
    ["a root of another trust domain", { uris: ["spiffe://other.local"] }, "the root is for spiffe://other.local"],
    ["an expired root", { notAfter: new Date(NOW - 1_000) }, "the root expired"],
    ["a root that allows none below it", { pathLength: 0 }, "path length 0"],
  ])("%s", async (_, options, words) => {
    const root = await forgeRoot(options);
    const outcome = await install(await signed(root, await issuingRequest(custody, "mesh.local")), root);
    expect(outcome.ok ? "" : outcome.error).toContain(words);
  });

  test("another's key, another root, no PEM, nothing pending", async () => {
    const root = await forgeRoot();
    expect(await install("", root)).toMatchObject({ error: expect.stringContaining("no request is pending") });
    const csr = await issuingRequest(custody, "mesh.local");
    const { publicKey } = (await forge()).keys;
    expect(await install(await signed(root, csr, { key: publicKey }), root)).toMatchObject({
      error: expect.stringContaining("not for the key of the pending request"),
    });
    expect(await install(await signed(root, csr), await forgeRoot())).toMatchObject({
      error: expect.stringContaining("not signed by that root"),
    });
    expect(await install("hello", root)).toMatchObject({ error: "the certificate must be one in PEM" });
    const intermediate = await forge({ ...SIGNING, subject: "CN=Middle", by: root });
    expect(await install(await signed(intermediate, csr), intermediate)).toMatchObject({
      error: "the root is not signed by itself",
    });
  });
});
