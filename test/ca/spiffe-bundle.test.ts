import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { parseSpiffeBundle, toJwkSet } from "../../src/ca/spiffe-bundle.ts";
import { forgeAuthority } from "./forge.ts";

const { root, issuer } = await forgeAuthority("bundle");
const other = (await forgeAuthority("other")).root;

describe("a JWK set", () => {
  test("has what SPIFFE asks for, and nothing that it forbids", () => {
    const der = new X509Certificate(root.pem).raw.toString("base64");
    expect(toJwkSet([root.pem], 7)).toEqual({
      keys: [{ use: "x509-svid", kty: "EC", crv: "P-256", x: expect.any(String), y: expect.any(String), x5c: [der] }],
      spiffe_sequence: 7,
      spiffe_refresh_hint: 3600,
    });
  });

  test("comes back as it went", () => {
    const text = JSON.stringify(toJwkSet([root.pem, other.pem], 7));
    expect(parseSpiffeBundle(text)).toEqual({ ok: true, value: { roots: [root.pem, other.pem], sequence: 7 } });
  });

  test("may hold keys of other uses, which are passed over", () => {
    const set = toJwkSet([root.pem], 1) as { keys: object[] };
    set.keys.push({ use: "jwt-svid", kid: "a", kty: "EC" });
    const parsed = parseSpiffeBundle(JSON.stringify(set));
    expect(parsed.ok && parsed.value.roots).toEqual([root.pem]);
  });
});

test("PEM is read as well", () => {
  const parsed = parseSpiffeBundle(root.pem + other.pem);
  expect(parsed).toEqual({ ok: true, value: { roots: [root.pem, other.pem], sequence: undefined } });
});

describe("refused, in words", () => {
  const leafless = issuer.pem.replace(/[A-Z]/, "!");
  test.each<[string, string, string]>([
    ["nothing", "", "holds no certificate"],
    ["no JSON", "{", "neither PEM nor a JWK set"],
    ["no key", '{"keys": []}', "holds no key for x509-svid"],
    [
      "two certificates in one key",
      '{"keys": [{"use": "x509-svid", "x5c": ["AA==", "AA=="]}]}',
      "exactly one certificate",
    ],
    ["no certificate in a key", '{"keys": [{"use": "x509-svid"}]}', "exactly one certificate"],
    ["base64 of URLs", '{"keys": [{"use": "x509-svid", "x5c": ["_-_-"]}]}', "no certificate in base64"],
    ["something else in base64", '{"keys": [{"use": "x509-svid", "x5c": ["AAAA"]}]}', "is not X.509 v3"],
    ["broken PEM", leafless, "holds no certificate"],
    ["far too much", "x".repeat(600_000), "larger than"],
  ])("%s", (_, text, words) => {
    const parsed = parseSpiffeBundle(text);
    expect(parsed.ok ? "" : parsed.error).toContain(words);
  });
});
