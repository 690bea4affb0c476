/**
 * A certificate for the mesh's own NATS server, from an authority that signs nothing else: it says where the server is,
 * and not what a workload is, so the two kinds of trust stay apart.
 */

import { isIP } from "node:net";
import { CLOCK_SKEW_MS, ISSUER_LIFE_MS, ROOT_LIFE_MS, randomSerial, SIGNING_ALGORITHM } from "./authority.ts";
import { encodePem } from "./workload/pem.ts";
import * as x509 from "./x509.ts";

/** A certificate with less than this to go is made anew. */
const RENEWAL_MS = ISSUER_LIFE_MS / 3;

/** Certificate and PKCS#8 key, PEM. */
export interface PemPair {
  readonly certificate: string;
  readonly key: string;
}

/** A new authority for server certificates: valid 10 years from `nowMs`. */
export async function createServerAuthority(nowMs: number): Promise<PemPair> {
  const keys = await generateKeys();
  const subjectKey = await x509.SubjectKeyIdentifierExtension.create(keys.publicKey);
  const name = `O=Heddle, CN=Heddle NATS authority ${subjectKey.keyId.slice(0, 16)}`;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: name,
    issuer: name,
    notBefore: new Date(nowMs - CLOCK_SKEW_MS),
    notAfter: new Date(nowMs + ROOT_LIFE_MS),
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      subjectKey,
    ],
  });
  return pemPair(certificate, keys.privateKey);
}

/** A certificate for a server that is reached under `hosts` (names and addresses): valid a year from `nowMs`. */
export async function createServerCertificate(
  authority: PemPair,
  hosts: readonly string[],
  nowMs: number,
): Promise<PemPair> {
  const above = new x509.X509Certificate(authority.certificate);
  const signingKey = await importKey(authority.key);
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: "O=Heddle, CN=Heddle NATS server",
    issuer: above.subjectName.toJSON(),
    notBefore: new Date(Math.max(nowMs - CLOCK_SKEW_MS, above.notBefore.getTime())),
    notAfter: new Date(Math.min(nowMs + ISSUER_LIFE_MS, above.notAfter.getTime())),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        hosts.map((host) => ({ type: isIP(host) === 0 ? ("dns" as const) : ("ip" as const), value: host })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(above.publicKey),
    ],
  });
  return pemPair(certificate, keys.privateKey);
}

/** Whether a certificate still serves: from this authority, for all of these hosts, and for long enough. */
export function servesStill(
  certificate: string,
  {
    authority,
    hosts,
    nowMs,
  }: { readonly authority: PemPair; readonly hosts: readonly string[]; readonly nowMs: number },
): boolean {
  try {
    const parsed = new x509.X509Certificate(certificate);
    const above = new x509.X509Certificate(authority.certificate);
    const stated = parsed.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
    const names = new Set(stated.map(({ value }) => oneForm(value)));
    const isOurs = parsed.issuer === above.subject;
    const lasts = parsed.notAfter.getTime() - nowMs > RENEWAL_MS;
    return isOurs && lasts && hosts.every((host) => names.has(oneForm(host)));
  } catch {
    return false;
  }
}

/** An address of IPv6 may be written in several ways (RFC 5952), and a name in capitals. */
function oneForm(host: string): string {
  return isIP(host) === 6 ? new URL(`http://[${host}]`).hostname : host.toLowerCase();
}

function generateKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(SIGNING_ALGORITHM, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

async function pemPair(certificate: x509.X509Certificate, key: CryptoKey): Promise<PemPair> {
  return {
    certificate: encodePem("CERTIFICATE", new Uint8Array(certificate.rawData)),
    key: encodePem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", key))),
  };
}

function importKey(pem: string): Promise<CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  if (der === undefined) throw new Error("the key of the NATS authority is no PEM");
  return crypto.subtle.importKey("pkcs8", der, SIGNING_ALGORITHM, true, ["sign"]);
}
