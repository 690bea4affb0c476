import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BUNDLE_ROOTS_MAX, decodePem, encodePem, fingerprint, parseBundle } from "../../../src/ca/workload/pem.ts";
import { forge, forgeAuthority } from "../forge.ts";

test("what is encoded comes back, in lines of 64 characters (RFC 7468 §2)", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 4 }), (blocks) => {
      const text = blocks.map((block) => encodePem("CERTIFICATE", block)).join("");
      expect(decodePem("CERTIFICATE", text)?.map((block) => Uint8Array.from(block))).toEqual(blocks);
      expect(decodePem("PRIVATE KEY", text)).toEqual([]);
      for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(64);
    }),
  );
});

test("text around the blocks, and CRLF, are allowed (RFC 7468 §2)", () => {
  const block = encodePem("CERTIFICATE", Uint8Array.of(1, 2, 3));
  const text = `subject=orders\n${block}and so on\n${block}`.replaceAll("\n", "\r\n");
  expect(decodePem("CERTIFICATE", text)?.map((bytes) => bytes.toHex())).toEqual(["010203", "010203"]);
});

test("broken base64 is not guessed at", () => {
  for (const body of ["A", "AAA", "AAAB=", "AB=="]) {
    expect(decodePem("X", `-----BEGIN X-----\n${body}\n-----END X-----\n`)).toBeUndefined();
  }
});

test("a fingerprint is the SHA-256 of one certificate's DER", async () => {
  const { pem, der } = await forge();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(der))).toHex();
  expect(fingerprint(pem)).toEqual({ ok: true, value: digest });
  for (const text of ["", "nonsense", pem + pem]) expect(fingerprint(text).ok).toBe(false);
});

describe("a trust bundle", () => {
  test("is its roots, one by one, in canonical form", async () => {
    const [one, two] = await Promise.all([forgeAuthority("one"), forgeAuthority("two")]);
    const text = `# ours\n${one.root.pem}# theirs\n${two.root.pem}`.replaceAll("\n", "\r\n");
    expect(parseBundle(text)).toEqual({ ok: true, value: [one.root.pem, two.root.pem] });
  });

  test("is refused when it is empty, broken, too long, or holds a leaf", async () => {
    const { root } = await forgeAuthority("one");
    const leaf = await forge({ by: root });
    const cases: [string, string][] = [
      ["", "holds no certificate"],
      ["-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n", "broken PEM"],
      [encodePem("CERTIFICATE", Uint8Array.of(1, 2, 3)), "certificate 1 of the trust bundle is not X.509 v3"],
      [root.pem + leaf.pem, "certificate 2 of the trust bundle is no signing certificate"],
      [root.pem.repeat(BUNDLE_ROOTS_MAX + 1), "more than 64"],
    ];
    for (const [text, words] of cases) {
      const bundle = parseBundle(text);
      expect(bundle.ok).toBe(false);
      if (!bundle.ok) expect(bundle.error).toContain(words);
    }
  });
});
