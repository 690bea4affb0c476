/**
 * The certificate authority: a root that signs nothing but issuing certificates, and issuing certificates that sign
 * the leaves of workloads. P-256 with SHA-256 throughout; forms follow RFC 5280 and SPIFFE X509-SVID §3 and §4.
 */

import { encodePem } from "./workload/pem.ts";
import { trustDomainId } from "./workload/spiffe-id.ts";
import * as x509 from "./x509.ts";

export const SIGNING_ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

const DAY_MS = 86_400_000;
export const ROOT_LIFE_MS = 3650 * DAY_MS;
export const ISSUER_LIFE_MS = 365 * DAY_MS;
/**
 * An issuing certificate this close to its end is replaced when the authority is opened: long before the leaves, which
 * never outlive it, would have to be cut short.
 */
export const ISSUER_RENEWAL_MS = 90 * DAY_MS;
/** How far back a certificate's validity begins, for peers whose clock is behind ours. */
export const CLOCK_SKEW_MS = 60_000;

/** A signing certificate and its private key. */
export interface SigningPair {
  readonly certificatePem: string;
  readonly key: CryptoKey;
}

/**
 * A positive serial number of 126 random bits in hex (RFC 5280 §4.1.2.2: at most 20 octets, unique per issuer). The top
 * bits are fixed to 01, so that it is neither negative nor shorter than it looks.
 */
export function randomSerial(): string {
  const serial = crypto.getRandomValues(new Uint8Array(16));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial.toHex();
}

/** A new root: valid 10 years from `nowMs`, allowed one level of issuing certificates below it. */
export async function createRoot(trustDomain: string, nowMs: number): Promise<SigningPair> {
  const keys = await crypto.subtle.generateKey(SIGNING_ALGORITHM, true, ["sign", "verify"]);
  return {
    key: keys.privateKey,
    certificatePem: await signAuthority({
      role: "root",
      trustDomain,
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      authorityKey: keys.publicKey,
      pathLength: 1,
      notBefore: new Date(nowMs - CLOCK_SKEW_MS),
      notAfter: new Date(nowMs + ROOT_LIFE_MS),
    }),
  };
}

/** A new issuing certificate under `root`: valid 1 year from `nowMs`, or less where the root ends sooner. */
export async function createIssuer(root: SigningPair, trustDomain: string, nowMs: number): Promise<SigningPair> {
  const keys = await crypto.subtle.generateKey(SIGNING_ALGORITHM, true, ["sign", "verify"]);
  const above = new x509.X509Certificate(root.certificatePem);
  return {
    key: keys.privateKey,
    certificatePem: await signAuthority({
      role: "issuer",
      trustDomain,
      publicKey: keys.publicKey,
      signingKey: root.key,
      authorityKey: await above.publicKey.export(),
      issuer: above.subject,
      pathLength: 0,
      notBefore: new Date(Math.max(nowMs - CLOCK_SKEW_MS, above.notBefore.getTime())),
      notAfter: new Date(Math.min(nowMs + ISSUER_LIFE_MS, above.notAfter.getTime())),
    }),
  };
}

interface AuthorityParameters {
  readonly role: "root" | "issuer";
  readonly trustDomain: string;
  readonly publicKey: CryptoKey;
  readonly signingKey: CryptoKey;
  /** Public half of `signingKey`, for the authority key identifier. */
  readonly authorityKey: CryptoKey;
  /** Absent: self-signed. */
  readonly issuer?: string;
  readonly pathLength: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

async function signAuthority(parameters: AuthorityParameters): Promise<string> {
  const subjectKey = await x509.SubjectKeyIdentifierExtension.create(parameters.publicKey);
  // The key in the name keeps the names of successive roots apart, which those who build chains by name rely on.
  const subject = `O=Heddle, CN=Heddle ${parameters.role} ${subjectKey.keyId.slice(0, 16)}`;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject,
    issuer: parameters.issuer ?? subject,
    notBefore: parameters.notBefore,
    notAfter: parameters.notAfter,
    publicKey: parameters.publicKey,
    signingKey: parameters.signingKey,
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, parameters.pathLength, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: trustDomainId(parameters.trustDomain) }], false),
      subjectKey,
      await x509.AuthorityKeyIdentifierExtension.create(parameters.authorityKey),
    ],
  });
  return encodePem("CERTIFICATE", new Uint8Array(certificate.rawData));
}
