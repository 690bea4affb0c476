/** What we write as a leaf, read by the certificate library. */

import { describe, expect, test } from "bun:test";
import { createIssuer, createRoot, type SigningPair } from "../../src/ca/authority.ts";
import { Issuer } from "../../src/ca/issuer.ts";
import { keyIdOf, leafToBeSigned, signedLeaf, subjectOf } from "../../src/ca/leaf.ts";
import * as x509 from "../../src/ca/x509.ts";
import { forge } from "./forge.ts";
import { generateKeys, makeCsr } from "./requests.ts";

const NOW = Date.parse("2026-11-01T12:00:00Z");
const ID = "spiffe://mesh.local/ns/shop/sa/orders";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const pair: SigningPair = await createIssuer(await createRoot("mesh.local", NOW), "mesh.local", NOW);
const issuing = new x509.X509Certificate(pair.certificatePem);
const keys = await generateKeys();
const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
const issuer = {
  name: subjectOf(new Uint8Array(issuing.rawData)),
  keyId: keyIdOf(new Uint8Array(issuing.publicKey.rawData)),
};

async function leaf(fields: Partial<Parameters<typeof leafToBeSigned>[0]> = {}): Promise<x509.X509Certificate> {
  const whole = { serial: "4a0b", notBeforeMs: NOW, notAfterMs: NOW + 3_600_000, spki, spiffeId: ID, ...fields };
  const toBeSigned = new Uint8Array(leafToBeSigned(whole, issuer));
  const signature = new Uint8Array(await crypto.subtle.sign(ALGORITHM, pair.key, toBeSigned));
  return new x509.X509Certificate(new Uint8Array(signedLeaf(toBeSigned, signature)));
}

describe("a leaf", () => {
  test("says what it was told, and is signed", async () => {
    const read = await leaf();
    expect([read.serialNumber, read.subject, read.issuer]).toEqual(["4a0b", "", issuing.subject]);
    expect([read.notBefore.getTime(), read.notAfter.getTime()]).toEqual([NOW, NOW + 3_600_000]);
    expect(read.getExtension(x509.SubjectAlternativeNameExtension)?.names.items).toMatchObject([
      { type: "url", value: ID },
    ]);
    expect(await read.verify({ publicKey: issuing.publicKey, signatureOnly: true })).toBe(true);
  });

  test("names both keys as the library does", async () => {
    const read = await leaf();
    const own = await x509.SubjectKeyIdentifierExtension.create(keys.publicKey);
    expect(read.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId).toBe(own.keyId);
    const above = issuing.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
    expect(read.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId).toBe(above ?? "");
  });

  test.each(["2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z", "2099-02-28T12:34:56Z"])("ends at %s", async (end) => {
    expect((await leaf({ notAfterMs: Date.parse(end) })).notAfter.getTime()).toBe(Date.parse(end));
  });

  test("has a long name, whose lengths take more octets", async () => {
    const spiffeId = `spiffe://${"a".repeat(250)}/ns/${"b".repeat(63)}/sa/${"c".repeat(63)}`;
    const read = await leaf({ spiffeId });
    expect(read.getExtension(x509.SubjectAlternativeNameExtension)?.names.items[0]?.value).toBe(spiffeId);
  });
});

test("an issuing certificate that somebody else signed may name its key as it likes: leaves follow", async () => {
  const above = await forge({ ca: true, keyUsage: x509.KeyUsageFlags.keyCertSign, uris: [], subject: "CN=Elsewhere" });
  const own = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    subject: "CN=Issuing",
    issuer: above.certificate.subject,
    notBefore: new Date(NOW - 60_000),
    notAfter: new Date(NOW + 86_400_000),
    publicKey: own.publicKey,
    signingKey: above.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.SubjectKeyIdentifierExtension("0badcafe00"),
    ],
  });
  const signer = new Issuer({ certificatePem: `${certificate.toString("pem")}\n`, key: own.privateKey });
  const signed = await signer.sign((await makeCsr()).toString("pem"), { spiffeId: ID, ttlMs: 3_600_000, nowMs: NOW });
  const read = new x509.X509Certificate(
    signed.ok ? (signed.value.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/)[0] ?? "") : "",
  );
  expect(read.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId).toBe("0badcafe00");
});
