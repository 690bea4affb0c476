import { beforeAll, describe, expect, test } from "bun:test";
import {
  CLOCK_SKEW_MS,
  createIssuer,
  createRoot,
  ISSUER_LIFE_MS,
  ISSUER_RENEWAL_MS,
  ROOT_LIFE_MS,
  randomSerial,
  type SigningPair,
} from "../../src/ca/authority.ts";
import { Issuer, type LeafRequest } from "../../src/ca/issuer.ts";
import { REQUEST_BYTES_MAX } from "../../src/ca/request.ts";
import { decodePem } from "../../src/ca/workload/pem.ts";
import { svidIdentity } from "../../src/ca/workload/svid.ts";
import * as x509 from "../../src/ca/x509.ts";
import { generateKeys, makeCsr } from "./requests.ts";

const NOW = Date.parse("2026-11-01T12:00:00Z");
const HOUR_MS = 3_600_000;
const ID = "spiffe://mesh.local/ns/shop/sa/orders";
const REQUEST: LeafRequest = { spiffeId: ID, ttlMs: HOUR_MS, nowMs: NOW };

let root: SigningPair;
let intermediate: SigningPair;
let issuer: Issuer;

beforeAll(async () => {
  root = await createRoot("mesh.local", NOW);
  intermediate = await createIssuer(root, "mesh.local", NOW);
  issuer = new Issuer(intermediate);
});

async function signed(csr: string | Uint8Array, request = REQUEST) {
  const result = await issuer.sign(csr, request);
  if (!result.ok) throw new Error(result.error);
  const [leaf, above, ...more] = (decodePem("CERTIFICATE", result.value.chainPem) ?? []).map(
    (der) => new x509.X509Certificate(der),
  );
  if (leaf === undefined || above === undefined || more.length > 0) throw new Error("expected two certificates");
  return { ...result.value, leaf, above };
}

function extensions(certificate: x509.X509Certificate) {
  const oids: Record<string, boolean> = {};
  for (const extension of certificate.extensions) oids[extension.type] = extension.critical;
  return oids;
}

const OID = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
};

describe("signing certificates", () => {
  const forms: [string, () => SigningPair, number, number][] = [
    ["root", () => root, 1, ROOT_LIFE_MS],
    ["issuer", () => intermediate, 0, ISSUER_LIFE_MS],
  ];
  test.each(forms)("the %s has the form of SPIFFE X509-SVID §3", (_, pair, pathLength, lifeMs) => {
    const certificate = new x509.X509Certificate(pair().certificatePem);
    expect(certificate.getExtension(x509.BasicConstraintsExtension)).toMatchObject({ ca: true, pathLength });
    const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
    expect(certificate.getExtension(x509.KeyUsagesExtension)?.usages).toBe(keyCertSign | cRLSign);
    expect(certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON()).toEqual([
      { type: "url", value: "spiffe://mesh.local" },
    ]);
    expect(extensions(certificate)).toEqual({
      [OID.basicConstraints]: true,
      [OID.keyUsage]: true,
      [OID.subjectAltName]: false,
      [OID.subjectKeyIdentifier]: false,
      [OID.authorityKeyIdentifier]: false,
    });
    expect(certificate.notBefore.getTime()).toBe(NOW - CLOCK_SKEW_MS);
    expect(certificate.notAfter.getTime()).toBe(NOW + lifeMs);
    expect(certificate.publicKey.algorithm).toMatchObject({ name: "ECDSA", namedCurve: "P-256" });
  });

  test("the root signs itself and the issuer, and two roots have different names", async () => {
    const certificate = new x509.X509Certificate(root.certificatePem);
    expect(await certificate.isSelfSigned()).toBe(true);
    const below = new x509.X509Certificate(intermediate.certificatePem);
    expect(await below.verify({ publicKey: certificate.publicKey, signatureOnly: true })).toBe(true);
    expect(below.issuer).toBe(certificate.subject);
    const other = new x509.X509Certificate((await createRoot("mesh.local", NOW)).certificatePem);
    expect(other.subject).not.toBe(certificate.subject);
  });

  test("an issuer never outlives its root", async () => {
    const late = await createIssuer(root, "mesh.local", NOW + ROOT_LIFE_MS - HOUR_MS);
    expect(new Issuer(late).notAfterMs).toBe(NOW + ROOT_LIFE_MS);
    expect(issuer.renewAfterMs).toBe(NOW + ISSUER_LIFE_MS - ISSUER_RENEWAL_MS);
  });
});

describe("leaves", () => {
  test("have the form of SPIFFE X509-SVID §4", async () => {
    const { leaf, above, chainPem, serial, notBeforeMs, notAfterMs } = await signed((await makeCsr()).toString("pem"));
    expect(svidIdentity(new Uint8Array(leaf.rawData), NOW)).toMatchObject({ ok: true, value: { id: ID } });
    expect(leaf.subject).toBe("");
    expect(extensions(leaf)).toEqual({
      [OID.basicConstraints]: true,
      [OID.keyUsage]: true,
      [OID.extKeyUsage]: false,
      [OID.subjectAltName]: true,
      [OID.subjectKeyIdentifier]: false,
      [OID.authorityKeyIdentifier]: false,
    });
    expect(leaf.getExtension(x509.KeyUsagesExtension)?.usages).toBe(x509.KeyUsageFlags.digitalSignature);
    expect(leaf.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId).toBe(
      above.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
    );
    expect(leaf.notBefore.getTime()).toBe(notBeforeMs);
    expect(leaf.notAfter.getTime()).toBe(notAfterMs);
    expect([notBeforeMs, notAfterMs]).toEqual([NOW - CLOCK_SKEW_MS, NOW + HOUR_MS]);
    expect(leaf.serialNumber).toBe(serial);
    expect(chainPem.endsWith(intermediate.certificatePem)).toBe(true);
    expect(await leaf.verify({ publicKey: above.publicKey, date: new Date(NOW) })).toBe(true);
  });

  test("take nothing but the key from the request", async () => {
    const csr = await makeCsr({
      name: "CN=admin, O=Evil",
      extensions: [
        new x509.BasicConstraintsExtension(true, 5, true),
        new x509.SubjectAlternativeNameExtension([
          { type: "url", value: "spiffe://mesh.local/ns/shop/sa/payment" },
          { type: "dns", value: "payment.shop" },
        ]),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign),
      ],
    });
    const { leaf } = await signed(new Uint8Array(csr.rawData));
    expect(leaf.subject).toBe("");
    expect(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON()).toEqual([
      { type: "url", value: ID },
    ]);
    expect(leaf.getExtension(x509.BasicConstraintsExtension)?.ca).toBe(false);
    expect(leaf.publicKey.equal(csr.publicKey)).toBe(true);
  });

  test("stay within the issuer's validity at both ends", async () => {
    const csr = (await makeCsr()).toString("pem");
    const early = await signed(csr, { ...REQUEST, nowMs: NOW - CLOCK_SKEW_MS + 1000 });
    expect(early.notBeforeMs).toBe(NOW - CLOCK_SKEW_MS);
    const end = NOW + ISSUER_LIFE_MS;
    expect((await signed(csr, { ...REQUEST, nowMs: end - 1000 })).notAfterMs).toBe(end);
    expect(await issuer.sign(csr, { ...REQUEST, nowMs: end })).toMatchObject({ ok: false });
  });

  test("P-384 keys are signed as well", async () => {
    const csr = await makeCsr({ algorithm: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" } });
    expect((await signed(csr.toString("pem"))).leaf.publicKey.algorithm).toMatchObject({ namedCurve: "P-384" });
  });
});

describe("requests that are refused, in words", () => {
  test("RSA", async () => {
    const csr = await makeCsr({
      algorithm: {
        name: "RSASSA-PKCS1-v1_5",
        modulusLength: 2048,
        publicExponent: Uint8Array.of(1, 0, 1),
        hash: "SHA-256",
      },
    });
    expect(await issuer.sign(csr.toString("pem"), REQUEST)).toEqual({
      ok: false,
      error: "the request's key is RSA; only ECDSA keys on P-256 or P-384 are signed",
    });
  });

  test.each([
    ["Ed25519", { name: "Ed25519" } as const],
    ["P-521", { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" } as const],
  ])("%s", async (name, algorithm) => {
    const result = await issuer.sign((await makeCsr({ algorithm })).toString("pem"), REQUEST);
    expect(result).toEqual({
      ok: false,
      error: `the request's key is ${name}; only ECDSA keys on P-256 or P-384 are signed`,
    });
  });

  test("a request for somebody else's public key", async () => {
    const [mine, theirs] = await Promise.all([generateKeys(), generateKeys()]);
    const csr = await makeCsr({ keys: { publicKey: theirs.publicKey, privateKey: mine.privateKey } });
    expect(await issuer.sign(csr.toString("pem"), REQUEST)).toEqual({
      ok: false,
      error: "the request is not signed by the key that it holds",
    });
  });

  test("a request with any one bit changed on its way", async () => {
    const der = new Uint8Array((await makeCsr()).rawData);
    for (let bit = 0; bit < der.length * 8; bit += 1) {
      const changed = Uint8Array.from(der);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(await issuer.sign(changed, REQUEST)).toMatchObject({ ok: false });
    }
  });

  test.each(["", "hello", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "30"])(
    "%p",
    async (csr) => {
      expect(await issuer.sign(csr, REQUEST)).toEqual({
        ok: false,
        error: "the request is not a PKCS#10 certificate request in PEM or DER",
      });
    },
  );

  test("more bytes than any request has", async () => {
    expect(await issuer.sign("A".repeat(REQUEST_BYTES_MAX + 1), REQUEST)).toEqual({
      ok: false,
      error: "the request is larger than 8192 bytes",
    });
  });
});

test("our own mistakes are exceptions", async () => {
  const csr = (await makeCsr()).toString("pem");
  await expect(issuer.sign(csr, { ...REQUEST, spiffeId: "spiffe://mesh.local" })).rejects.toThrow(TypeError);
  await expect(issuer.sign(csr, { ...REQUEST, ttlMs: 0 })).rejects.toThrow(RangeError);
  await expect(issuer.sign(csr, { ...REQUEST, ttlMs: Number.NaN })).rejects.toThrow(RangeError);
});

test("serial numbers are positive, of 16 octets, and not repeated", () => {
  const serials = Array.from({ length: 1000 }, randomSerial);
  for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  expect(new Set(serials).size).toBe(1000);
});
