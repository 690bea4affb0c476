/**
 * The DER of a leaf certificate (RFC 5280 §4.1), with just the fields that an X.509-SVID has. Written here because it is what
 * the authority does all day: the certificate library takes ten times as long over it.
 */

import { contextTag, DerReader, der, derUnsigned, primitiveContextTag, TAG } from "./workload/der.ts";

/** What does not change from leaf to leaf. */
export interface LeafIssuer {
  /** Subject of the issuing certificate: Name, DER. */
  readonly name: Uint8Array;
  /** Its subject key identifier, by which leaves name it (§4.2.1.1). */
  readonly keyId: Uint8Array;
}

export interface LeafFields {
  /** Positive, lower-case hex. */
  readonly serial: string;
  /** Whole seconds, Unix milliseconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  readonly spiffeId: string;
}

const SCALAR_BYTES = 32;
/** From this year on, GeneralizedTime (§4.1.2.5). */
const GENERALIZED_YEAR = 2050;

const NOTHING = der(TAG.sequence);
const VERSION_3 = der(contextTag(0), der(TAG.integer, Uint8Array.of(2)));
/** ecdsa-with-SHA256 (RFC 5758 §3.2). */
const ECDSA_WITH_SHA256 = der(TAG.sequence, oid("2a8648ce3d040302"));
const CRITICAL = der(TAG.boolean, Uint8Array.of(0xff));

const OID = {
  subjectKeyId: "551d0e",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  authorityKeyId: "551d23",
  extKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
  clientAuth: "2b06010505070302",
} as const;

/** The same in every leaf: cA false, which DER leaves out; digitalSignature; both purposes. */
const BASIC_CONSTRAINTS = extension(OID.basicConstraints, NOTHING, CRITICAL);
const KEY_USAGE = extension(OID.keyUsage, der(TAG.bitString, Uint8Array.of(7, 0x80)), CRITICAL);
const PURPOSES = extension(OID.extKeyUsage, der(TAG.sequence, oid(OID.serverAuth), oid(OID.clientAuth)));

/** TBSCertificate: what is signed. The SAN is critical because the subject is empty (§4.2.1.6). */
export function leafToBeSigned(fields: LeafFields, issuer: LeafIssuer): Uint8Array {
  const { serial, notBeforeMs, notAfterMs, spki, spiffeId } = fields;
  const uri = der(primitiveContextTag(6), Buffer.from(spiffeId, "latin1"));
  const extensions = der(
    TAG.sequence,
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    PURPOSES,
    extension(OID.subjectAltName, der(TAG.sequence, uri), CRITICAL),
    extension(OID.subjectKeyId, der(TAG.octetString, keyIdOf(spki))),
    extension(OID.authorityKeyId, der(TAG.sequence, der(primitiveContextTag(0), issuer.keyId))),
  );
  return der(
    TAG.sequence,
    VERSION_3,
    derUnsigned(Uint8Array.fromHex(serial)),
    ECDSA_WITH_SHA256,
    issuer.name,
    der(TAG.sequence, time(notBeforeMs), time(notAfterMs)),
    NOTHING,
    spki,
    der(contextTag(3), extensions),
  );
}

/** Certificate. `signature` as WebCrypto gives it: both halves of a P-256 signature end to end. */
export function signedLeaf(toBeSigned: Uint8Array, signature: Uint8Array): Uint8Array {
  const halves = [signature.subarray(0, SCALAR_BYTES), signature.subarray(SCALAR_BYTES)];
  const pair = der(TAG.sequence, ...halves.map(derUnsigned));
  // The octet before the signature counts the unused bits of the bit string.
  return der(TAG.sequence, toBeSigned, ECDSA_WITH_SHA256, der(TAG.bitString, Uint8Array.of(0), pair));
}

/** SHA-1 of the public key's bits (§4.2.1.2, method 1): a name for the key, on whose strength nothing rests. */
export function keyIdOf(spki: Uint8Array): Uint8Array {
  const parts = new DerReader(spki).read(TAG.sequence);
  parts?.read(TAG.sequence);
  const bits = parts?.read(TAG.bitString)?.rest;
  if (bits === undefined) throw new TypeError("not a SubjectPublicKeyInfo");
  return new Bun.CryptoHasher("sha1").update(bits.subarray(1)).digest();
}

/** Subject of a certificate: Name, DER. Throws for what is no certificate. */
export function subjectOf(certificate: Uint8Array): Uint8Array {
  const body = new DerReader(certificate).read(TAG.sequence)?.read(TAG.sequence);
  // Version, serial number, signature algorithm, issuer and validity come before it.
  for (let field = 0; field < 5; field += 1) body?.readAny();
  const subject = body?.readWhole(TAG.sequence);
  if (subject === undefined) throw new TypeError("not a certificate");
  return subject;
}

function extension(id: string, value: Uint8Array, ...critical: readonly Uint8Array[]): Uint8Array {
  return der(TAG.sequence, oid(id), ...critical, der(TAG.octetString, value));
}

function oid(hex: string): Uint8Array {
  return der(TAG.oid, Uint8Array.fromHex(hex));
}

/** UTCTime or GeneralizedTime, to the second and in UTC (§4.1.2.5). */
function time(timeMs: number): Uint8Array {
  const digits = `${new Date(timeMs).toISOString().slice(0, 19).replace(/[-T:]/g, "")}Z`;
  const isShort = new Date(timeMs).getUTCFullYear() < GENERALIZED_YEAR;
  return der(isShort ? TAG.utcTime : TAG.generalizedTime, Buffer.from(isShort ? digits.slice(2) : digits, "latin1"));
}
