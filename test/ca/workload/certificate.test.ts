import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KEY_USAGE, readCertificate } from "../../../src/ca/workload/certificate.ts";
import * as x509 from "../../../src/ca/x509.ts";
import { forge } from "../forge.ts";

const { KeyUsageFlags, ExtendedKeyUsage } = x509;

test("reads what the certificate library reads, whatever the combination", async () => {
  const uri = fc.stringMatching(/^spiffe:\/\/[a-z.]{1,40}(\/[a-z]{1,90}){0,3}$/);
  const second = fc.integer({ min: 0, max: 4_102_444_800 }).map((seconds) => new Date(seconds * 1000));
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        uris: fc.array(uri, { maxLength: 4 }),
        dnsNames: fc.array(fc.stringMatching(/^[a-z]{1,60}\.test$/), { maxLength: 3 }),
        ca: fc.boolean(),
        basicConstraints: fc.boolean(),
        keyUsage: fc.option(fc.integer({ min: 1, max: 511 }), { nil: undefined }),
        keyUsageCritical: fc.boolean(),
        extendedKeyUsage: fc.option(fc.subarray(Object.values(ExtendedKeyUsage), { minLength: 1 }), { nil: undefined }),
        sanCritical: fc.boolean(),
        subject: fc.constantFrom("", "CN=somebody, O=Somewhere"),
        notBefore: second,
        notAfter: second,
      }),
      async (options) => {
        const { der, certificate } = await forge(options);
        const san = certificate.getExtension(x509.SubjectAlternativeNameExtension);
        const usage = certificate.getExtension(x509.KeyUsagesExtension);
        const purposes = certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [];
        expect(readCertificate(der)).toEqual({
          serial: certificate.serialNumber,
          notBeforeMs: certificate.notBefore.getTime(),
          notAfterMs: certificate.notAfter.getTime(),
          subjectEmpty: certificate.subject === "",
          spki: Buffer.from(certificate.publicKey.rawData),
          uris: san?.names.items.filter((name) => name.type === "url").map((name) => name.value) ?? [],
          sanCritical: san?.critical ?? false,
          ca: certificate.getExtension(x509.BasicConstraintsExtension)?.ca ?? false,
          keyUsage: usage === null ? undefined : bits(usage.usages),
          keyUsageCritical: usage?.critical ?? false,
          serverAuth: purposes.includes(ExtendedKeyUsage.serverAuth),
          clientAuth: purposes.includes(ExtendedKeyUsage.clientAuth),
        });
      },
    ),
    { numRuns: 60 },
  );
});

/** The library numbers named bits from 1 upwards, DER from 0x80 downwards. */
function bits(flags: number): number {
  let value = 0;
  for (let bit = 0; bit < 8; bit += 1) if ((flags & (1 << bit)) !== 0) value |= 0x80 >> bit;
  return value;
}

test("names the bits as RFC 5280 §4.2.1.3 does", () => {
  expect(bits(KeyUsageFlags.digitalSignature)).toBe(KEY_USAGE.digitalSignature);
  expect(bits(KeyUsageFlags.keyCertSign)).toBe(KEY_USAGE.keyCertSign);
  expect(bits(KeyUsageFlags.cRLSign)).toBe(KEY_USAGE.crlSign);
});

describe("bytes from strangers", () => {
  test("any bytes at all: an answer, never an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 512 }), (bytes) => readCertificate(bytes) === undefined),
      { numRuns: 2000 },
    );
  });

  test("every cut of a good certificate, and every trailing byte, is refused", async () => {
    const { der } = await forge();
    for (let length = 0; length < der.length; length += 1) {
      expect(readCertificate(der.subarray(0, length))).toBeUndefined();
    }
    expect(readCertificate(Buffer.concat([der, Uint8Array.of(0)]))).toBeUndefined();
    expect(readCertificate(der)).toBeDefined();
  });

  test("changed bytes: an answer, never an exception", async () => {
    const { der } = await forge();
    const change = fc.record({ at: fc.nat(der.length - 1), to: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const changed = Uint8Array.from(der);
        for (const { at, to } of changes) changed[at] = to;
        readCertificate(changed);
      }),
      { numRuns: 5000 },
    );
  });

  test("a long form of a length that fits the short one is not DER (X.690 §10.1)", async () => {
    const { der } = await forge();
    // The signature algorithm, a SEQUENCE of 10 bytes, stands right after the body: 30 0a becomes 30 81 0a.
    const at = Buffer.from(der).lastIndexOf(Buffer.from("300a06082a8648ce3d040302", "hex"));
    const parts = [der.subarray(0, at), Uint8Array.of(0x30, 0x81), der.subarray(at + 1)];
    const stretched = Buffer.concat(parts);
    // The outer SEQUENCE, whose length takes two octets here, is now one byte longer.
    expect(stretched.subarray(0, 2).toString("hex")).toBe("3082");
    stretched.writeUInt16BE(stretched.length - 4, 2);
    expect(readCertificate(stretched)).toBeUndefined();
  });

  test("a second extension of the same kind is refused (RFC 5280 §4.2)", async () => {
    const again = new x509.BasicConstraintsExtension(false, undefined, true);
    expect(readCertificate((await forge({ extra: [again] })).der)).toBeUndefined();
  });

  test("a critical extension that is not understood is refused, another one is not (RFC 5280 §4.2)", async () => {
    const unknown = (critical: boolean) => [new x509.Extension("1.2.3.4.5", critical, Uint8Array.of(5, 0))];
    expect(readCertificate((await forge({ extra: unknown(true) })).der)).toBeUndefined();
    expect(readCertificate((await forge({ extra: unknown(false) })).der)).toBeDefined();
  });
});
