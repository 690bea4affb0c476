import { describe, expect, test } from "bun:test";
import { svidIdentity } from "../../../src/ca/workload/svid.ts";
import * as x509 from "../../../src/ca/x509.ts";
import { type ForgeOptions, forge } from "../forge.ts";

const { digitalSignature, keyCertSign, cRLSign, keyAgreement } = x509.KeyUsageFlags;
const { serverAuth, clientAuth, codeSigning } = x509.ExtendedKeyUsage;
const NOW = new Date("2026-11-01T12:00:00Z");
const validity = { notBefore: new Date("2026-11-01T00:00:00Z"), notAfter: new Date("2026-11-02T00:00:00Z") };

async function identityOf(options: ForgeOptions, nowMs = NOW.getTime()) {
  return svidIdentity((await forge({ ...validity, ...options })).der, nowMs);
}

describe("SVIDs", () => {
  test.each<[string, ForgeOptions]>([
    ["as we issue them", {}],
    ["with further key usages, as other implementations issue", { keyUsage: digitalSignature | keyAgreement }],
    ["with further purposes", { extendedKeyUsage: [serverAuth, clientAuth, codeSigning] }],
    ["with names of other kinds", { dnsNames: ["orders.shop"], ipAddresses: ["10.0.0.1"] }],
    ["with a subject, and a SAN that is therefore not critical", { subject: "CN=orders", sanCritical: false }],
    ["without basicConstraints, which means cA false", { basicConstraints: false }],
  ])("%s", async (_, options) => {
    expect(await identityOf(options)).toEqual({
      ok: true,
      value: {
        trustDomain: "mesh.local",
        namespace: "shop",
        service: "orders",
        id: "spiffe://mesh.local/ns/shop/sa/orders",
        serial: expect.stringMatching(/^[0-9a-f]+$/),
        notBeforeMs: expect.any(Number),
        notAfterMs: expect.any(Number),
      },
    });
  });
});

describe("no SVIDs", () => {
  const one = "spiffe://mesh.local/ns/shop/sa/orders";
  test.each<[string, ForgeOptions, string]>([
    ["a signing certificate", { ca: true }, "cA true"],
    ["no keyUsage", { keyUsage: undefined }, "no critical keyUsage"],
    ["keyUsage not critical", { keyUsageCritical: false }, "no critical keyUsage"],
    ["no digitalSignature", { keyUsage: keyAgreement }, "lacks digitalSignature"],
    ["keyCertSign", { keyUsage: digitalSignature | keyCertSign }, "allows signing others"],
    ["cRLSign", { keyUsage: digitalSignature | cRLSign }, "allows signing others"],
    ["no extended key usage", { extendedKeyUsage: undefined }, "lacks serverAuth or clientAuth"],
    ["only serverAuth", { extendedKeyUsage: [serverAuth] }, "lacks serverAuth or clientAuth"],
    ["only clientAuth", { extendedKeyUsage: [clientAuth] }, "lacks serverAuth or clientAuth"],
    ["no URI", { uris: [], dnsNames: ["orders.shop"] }, "0 URI names"],
    ["two URIs", { uris: [one, "spiffe://mesh.local/ns/shop/sa/web"] }, "2 URI names"],
    ["the same URI twice", { uris: [one, one] }, "2 URI names"],
    ["SAN not critical under an empty subject", { sanCritical: false }, "not critical"],
    ["another scheme", { uris: ["https://mesh.local/ns/shop/sa/orders"] }, "spiffe://"],
    ["a trust domain's own ID", { uris: ["spiffe://mesh.local"] }, "not of the form"],
    ["NUL in the name", { uris: [`${one}\u0000.evil`] }, "character outside"],
  ])("%s", async (_, options, words) => {
    const verdict = await identityOf(options);
    expect(verdict).toMatchObject({ ok: false, error: { reason: "not_an_svid" } });
    if (!verdict.ok) expect(verdict.error.message).toContain(words);
  });
});

test("validity counts at both ends, inclusive (RFC 5280 §4.1.2.5)", async () => {
  const { der } = await forge(validity);
  const [from, to] = [validity.notBefore.getTime(), validity.notAfter.getTime()];
  expect(svidIdentity(der, from - 1)).toMatchObject({ ok: false, error: { reason: "not_yet_valid" } });
  expect(svidIdentity(der, from).ok).toBe(true);
  expect(svidIdentity(der, to).ok).toBe(true);
  expect(svidIdentity(der, to + 1)).toMatchObject({
    ok: false,
    error: {
      reason: "expired",
      message:
        "the peer's certificate expired at 2026-11-02T00:00:00.000Z; by this machine's clock it is 2026-11-02T00:00:00.001Z",
    },
  });
});

test("garbage and giants are malformed", () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(500), crypto.getRandomValues(new Uint8Array(65_536))]) {
    expect(svidIdentity(bytes, 0)).toMatchObject({ ok: false, error: { reason: "malformed_certificate" } });
  }
});
