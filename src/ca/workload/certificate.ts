/** A certificate (RFC 5280 §4.1) read for what identity rests on. The signature is TLS's business, not read here. */

import { contextTag, DerReader, latin1, primitiveContextTag, TAG } from "./der.ts";

export interface Certificate {
  /** Lower-case hex, without a sign octet. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly subjectEmpty: boolean;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** URI names in subjectAltName; other kinds of name are passed over. */
  readonly uris: readonly string[];
  readonly sanCritical: boolean;
  /** basicConstraints' cA; false where the extension is absent (§4.2.1.9). */
  readonly ca: boolean;
  /** keyUsage bits as in `KEY_USAGE`; undefined without the extension. */
  readonly keyUsage: number | undefined;
  readonly keyUsageCritical: boolean;
  readonly serverAuth: boolean;
  readonly clientAuth: boolean;
}

/** keyUsage (RFC 5280 §4.2.1.3): named bit n of the string is `0x80 >> n` of its first octet. */
export const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04, crlSign: 0x02 } as const;

/** Object identifiers as the hex of their DER content. */
const OID = {
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  extKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
  clientAuth: "2b06010505070302",
} as const;

const URI_NAME = primitiveContextTag(6);
const VERSION_3 = "020102";

interface Extension {
  readonly critical: boolean;
  readonly value: DerReader;
}

/** Reads one certificate; undefined for bytes that are not exactly one X.509 v3 certificate in DER. Never throws. */
export function readCertificate(bytes: Uint8Array): Certificate | undefined {
  const outer = new DerReader(bytes);
  const certificate = outer.read(TAG.sequence);
  const tbs = certificate?.read(TAG.sequence);
  if (!certificate?.read(TAG.sequence) || !certificate.read(TAG.bitString)) return undefined;
  if (tbs === undefined || !certificate.done || !outer.done) return undefined;
  return readToBeSigned(tbs);
}

/** TBSCertificate (§4.1.1.1), in its fixed order. */
function readToBeSigned(tbs: DerReader): Certificate | undefined {
  if (tbs.read(contextTag(0))?.rest.toHex() !== VERSION_3) return undefined;
  const serial = tbs.readUnsigned()?.toHex();
  if (serial === undefined || !tbs.read(TAG.sequence) || !tbs.read(TAG.sequence)) return undefined;
  const validity = tbs.read(TAG.sequence);
  const notBeforeMs = validity?.readTime();
  const notAfterMs = validity?.readTime();
  const subject = tbs.read(TAG.sequence);
  const spki = tbs.readWhole(TAG.sequence);
  const extensions = readExtensions(tbs.read(contextTag(3)));
  if (notBeforeMs === undefined || notAfterMs === undefined || validity?.done !== true) return undefined;
  if (subject === undefined || spki === undefined || extensions === undefined || !tbs.done) return undefined;

  const san = extensions.get(OID.subjectAltName);
  const usage = extensions.get(OID.keyUsage);
  const uris = san === undefined ? [] : readUris(san.value);
  const ca = readCa(extensions.get(OID.basicConstraints)?.value);
  const keyUsage = usage === undefined ? undefined : readKeyUsage(usage.value);
  const purposes = readPurposes(extensions.get(OID.extKeyUsage)?.value);
  if (uris === undefined || ca === undefined || purposes === undefined) return undefined;
  if (usage !== undefined && keyUsage === undefined) return undefined;
  return {
    serial,
    notBeforeMs,
    notAfterMs,
    subjectEmpty: subject.done,
    spki,
    uris,
    sanCritical: san?.critical ?? false,
    ca,
    keyUsage,
    keyUsageCritical: usage?.critical ?? false,
    serverAuth: purposes.has(OID.serverAuth),
    clientAuth: purposes.has(OID.clientAuth),
  };
}

/** Extensions by OID. A second one of a kind (§4.2), or a critical one that nobody here understands, is refused. */
function readExtensions(explicit: DerReader | undefined): Map<string, Extension> | undefined {
  const list = explicit?.read(TAG.sequence);
  if (list === undefined || explicit?.done !== true) return undefined;
  const known: readonly string[] = [OID.keyUsage, OID.subjectAltName, OID.basicConstraints, OID.extKeyUsage];
  const extensions = new Map<string, Extension>();
  while (!list.done) {
    const extension = list.read(TAG.sequence);
    const oid = extension?.readOid();
    const critical = extension?.nextTag === TAG.boolean ? extension.readBoolean() : false;
    const value = extension?.read(TAG.octetString);
    if (oid === undefined || critical === undefined || value === undefined || extension?.done !== true)
      return undefined;
    if (extensions.has(oid) || (critical && !known.includes(oid))) return undefined;
    extensions.set(oid, { critical, value });
  }
  return extensions;
}

/** GeneralNames (§4.2.1.6): the URIs among them. */
function readUris(value: DerReader): string[] | undefined {
  const names = value.read(TAG.sequence);
  if (names === undefined || !value.done) return undefined;
  const uris: string[] = [];
  while (!names.done) {
    const name = names.readAny();
    if (name === undefined) return undefined;
    if (name.tag === URI_NAME) uris.push(latin1(name.content.rest));
  }
  return uris;
}

/** BasicConstraints (§4.2.1.9). */
function readCa(value: DerReader | undefined): boolean | undefined {
  if (value === undefined) return false;
  const constraints = value.read(TAG.sequence);
  if (constraints === undefined || !value.done) return undefined;
  const ca = constraints.nextTag === TAG.boolean ? constraints.readBoolean() : false;
  if (constraints.nextTag === TAG.integer) constraints.read(TAG.integer);
  return constraints.done ? ca : undefined;
}

/** KeyUsage (§4.2.1.3): the first eight bits; the ninth, decipherOnly, says nothing about signatures. */
function readKeyUsage(value: DerReader): number | undefined {
  const bits = value.read(TAG.bitString)?.rest;
  if (bits === undefined || !value.done || bits.length < 2 || bits.length > 3 || (bits[0] ?? 8) > 7) return undefined;
  return bits[1];
}

/** ExtKeyUsageSyntax (§4.2.1.12). */
function readPurposes(value: DerReader | undefined): Set<string> | undefined {
  const purposes = new Set<string>();
  if (value === undefined) return purposes;
  const list = value.read(TAG.sequence);
  if (list === undefined || !value.done) return undefined;
  while (!list.done) {
    const oid = list.readOid();
    if (oid === undefined) return undefined;
    purposes.add(oid);
  }
  return purposes;
}
