/**
 * An issuing certificate under a root that is kept elsewhere: the request that goes out, and what is demanded of what
 * comes back. The root's key never comes near this machine.
 */

import { X509Certificate as NodeCertificate } from "node:crypto";
import { err, ok, type Result } from "../policy/result.ts";
import { SIGNING_ALGORITHM } from "./authority.ts";
import { FIRST_GENERATION, generationOf, type KeyCustody, type PendingKey } from "./custody.ts";
import { belongTogether } from "./file-custody.ts";
import { type Certificate, KEY_USAGE, readCertificate } from "./workload/certificate.ts";
import { decodePem, encodePem, fingerprint } from "./workload/pem.ts";
import { trustDomainId } from "./workload/spiffe-id.ts";
import * as x509 from "./x509.ts";

/** An issuing certificate with less than this to live is refused: it would have to be replaced at once. */
const LIFE_MIN_MS = 24 * 3_600_000;
/** RFC 8446 and the web's own rules have no use for less. */
const RSA_BITS_MIN = 2_048;

/** The request that is pending, or a new one with a new key, which stays in `custody`. PEM. */
export async function issuingRequest(custody: KeyCustody, trustDomain: string): Promise<string> {
  const pending = (await custody.pending()) ?? (await newRequest(trustDomain));
  if (pending.key.extractable) await custody.createPending(pending);
  return pending.csrPem;
}

async function newRequest(trustDomain: string): Promise<PendingKey> {
  const keys = await crypto.subtle.generateKey(SIGNING_ALGORITHM, true, ["sign", "verify"]);
  const { keyId } = await x509.SubjectKeyIdentifierExtension.create(keys.publicKey);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: `O=Heddle, CN=Heddle issuer ${keyId.slice(0, 16)}`,
    keys,
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: trustDomainId(trustDomain) }], false),
    ],
  });
  return { key: keys.privateKey, csrPem: encodePem("CERTIFICATE REQUEST", new Uint8Array(request.rawData)) };
}

export interface Installation {
  /** What the holder of the root has signed, PEM. */
  readonly certificate: string;
  /** The root itself, PEM. */
  readonly root: string;
  readonly trustDomain: string;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

export interface Installed {
  readonly rootPem: string;
  readonly rootFingerprint: string;
  readonly notAfterMs: number;
}

/** Takes the certificate into use, if all is as it must be. The error says what is not, and nothing is changed. */
export async function installIssuer(custody: KeyCustody, given: Installation): Promise<Result<Installed, string>> {
  const pending = await custody.pending();
  if (pending === undefined) return err("no request is pending: heddle ca csr makes one");
  const [certificate, ...moreCertificates] = decodePem("CERTIFICATE", given.certificate) ?? [];
  const [root, ...moreRoots] = decodePem("CERTIFICATE", given.root) ?? [];
  if (certificate === undefined || moreCertificates.length > 0) return err("the certificate must be one in PEM");
  if (root === undefined || moreRoots.length > 0) return err("the root must be one certificate in PEM");
  const certificatePem = encodePem("CERTIFICATE", certificate);
  const rootPem = encodePem("CERTIFICATE", root);
  const fault =
    rootFault(root, given) ?? issuingFault(certificate, root, given) ?? (await keyFault(certificatePem, pending));
  if (fault !== undefined) return err(fault);
  const rootFingerprint = fingerprint(rootPem);
  if (!rootFingerprint.ok) return rootFingerprint;
  await custody.install(await placeFor(custody, rootPem, rootFingerprint.value), certificatePem, rootPem);
  const notAfterMs = readCertificate(certificate)?.notAfterMs ?? 0;
  return ok({ rootPem, rootFingerprint: rootFingerprint.value, notAfterMs });
}

/** The first root of a mesh that has none, or again a root that is kept already, or another generation. */
async function placeFor(custody: KeyCustody, rootPem: string, rootFingerprint: string): Promise<string> {
  const first = await custody.load("root", FIRST_GENERATION);
  if (first === undefined || first.certificatePem === rootPem) return FIRST_GENERATION;
  return generationOf(rootFingerprint);
}

function rootFault(der: Uint8Array, { trustDomain, nowMs }: Installation): string | undefined {
  const root = readCertificate(der);
  if (root === undefined) return "the root is not X.509 v3";
  const fault = signingFault("the root", root, { trustDomain, nowMs });
  if (fault !== undefined) return fault;
  const parsed = new NodeCertificate(Buffer.from(der));
  if (!parsed.checkIssued(parsed) || !parsed.verify(parsed.publicKey)) return "the root is not signed by itself";
  return weakness("the root", parsed);
}

function issuingFault(der: Uint8Array, rootDer: Uint8Array, given: Installation): string | undefined {
  const what = "the certificate";
  const issuing = readCertificate(der);
  if (issuing === undefined) return `${what} is not X.509 v3, or has a critical extension that nobody here understands`;
  const fault = signingFault(what, issuing, given);
  if (fault !== undefined) return fault;
  const [parsed, root] = [new NodeCertificate(Buffer.from(der)), new NodeCertificate(Buffer.from(rootDer))];
  if (!parsed.checkIssued(root) || !parsed.verify(root.publicKey)) return `${what} is not signed by that root`;
  const above = new x509.X509Certificate(new Uint8Array(rootDer)).getExtension(x509.BasicConstraintsExtension);
  if (above?.pathLength === 0) return "the root allows no issuing certificate below it (path length 0)";
  const purposes = new x509.X509Certificate(new Uint8Array(der)).getExtension(x509.ExtendedKeyUsageExtension);
  if (purposes !== null && !(issuing.serverAuth && issuing.clientAuth)) {
    return `${what} restricts what it may sign for: its extended key usage lacks serverAuth or clientAuth`;
  }
  if (issuing.notAfterMs - given.nowMs < LIFE_MIN_MS) return `${what} ends within a day`;
  if (issuing.notAfterMs > Date.parse(root.validTo)) return `${what} outlives the root`;
  return undefined;
}

/** What keeps a certificate from signing others (RFC 5280 §4.2.1.3, §4.2.1.9; X509-SVID §3). */
function signingFault(
  what: string,
  certificate: Certificate,
  { trustDomain, nowMs }: Pick<Installation, "trustDomain" | "nowMs">,
): string | undefined {
  const { ca, keyUsage = 0, keyUsageCritical, uris, notBeforeMs, notAfterMs } = certificate;
  if (!ca) return `${what} is no signing certificate (cA false)`;
  if ((keyUsage & KEY_USAGE.keyCertSign) === 0 || !keyUsageCritical) return `${what} lacks a critical keyCertSign`;
  const expected = trustDomainId(trustDomain);
  if (uris.length > 1 || uris.some((uri) => uri !== expected)) {
    return `${what} is for ${uris.join(", ")}; its SPIFFE ID, if it has one, must be ${expected}`;
  }
  if (nowMs < notBeforeMs) return `${what} is valid only from ${new Date(notBeforeMs).toISOString()}`;
  return nowMs > notAfterMs ? `${what} expired at ${new Date(notAfterMs).toISOString()}` : undefined;
}

function weakness(what: string, { publicKey }: NodeCertificate): string | undefined {
  const bits = publicKey.asymmetricKeyDetails?.modulusLength;
  if (publicKey.asymmetricKeyType !== "rsa" || bits === undefined || bits >= RSA_BITS_MIN) return undefined;
  return `${what}'s key is too weak: RSA of ${bits} bits`;
}

async function keyFault(certificatePem: string, { key }: PendingKey): Promise<string | undefined> {
  if (await belongTogether(certificatePem, key)) return undefined;
  return "the certificate is not for the key of the pending request: heddle ca csr prints that request again";
}
