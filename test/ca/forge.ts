/** Certificates that the authority would never issue, made to order, so that tests can show that they are refused. */

import * as x509 from "../../src/ca/x509.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const HOUR_MS = 3_600_000;

export interface Forged {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
  readonly pem: string;
  readonly keyPem: string;
  readonly der: Uint8Array;
}

export interface ForgeOptions {
  /** Who signs; absent: self-signed. */
  readonly by?: Forged;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly ca?: boolean;
  /** False: no basicConstraints at all. */
  readonly basicConstraints?: boolean;
  readonly pathLength?: number;
  readonly keyUsage?: number | undefined;
  readonly keyUsageCritical?: boolean;
  readonly extendedKeyUsage?: readonly string[] | undefined;
  readonly sanCritical?: boolean;
  readonly subject?: string;
  /** Hex. */
  readonly serial?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly extra?: readonly x509.Extension[];
}

export const LEAF_URI = "spiffe://mesh.local/ns/shop/sa/orders";
const BOTH_PURPOSES: readonly string[] = [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth];

/** An `options` key given as undefined leaves the extension out; an absent one gets what a good SVID has. */
function has<K extends keyof ForgeOptions>(options: ForgeOptions, key: K): boolean {
  return Object.hasOwn(options, key);
}

function extensionsOf(options: ForgeOptions): x509.Extension[] {
  const ca = options.ca ?? false;
  const extensions: x509.Extension[] = [];
  if (options.basicConstraints !== false) {
    extensions.push(new x509.BasicConstraintsExtension(ca, options.pathLength, true));
  }
  const usage = has(options, "keyUsage") ? options.keyUsage : x509.KeyUsageFlags.digitalSignature;
  if (usage !== undefined) extensions.push(new x509.KeyUsagesExtension(usage, options.keyUsageCritical ?? true));
  const purposes = has(options, "extendedKeyUsage") ? options.extendedKeyUsage : BOTH_PURPOSES;
  if (purposes !== undefined) extensions.push(new x509.ExtendedKeyUsageExtension([...purposes]));
  const names: x509.JsonGeneralNames = [
    ...(options.uris ?? [LEAF_URI]).map((value) => ({ type: "url" as const, value })),
    ...(options.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(options.ipAddresses ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension(names, options.sanCritical ?? true));
  return [...extensions, ...(options.extra ?? [])];
}

async function pemOfKey(key: CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

/** A certificate with a key of its own, like a good SVID except where `options` says otherwise. */
export async function forge(options: ForgeOptions = {}): Promise<Forged> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.create({
    ...(options.serial === undefined ? {} : { serialNumber: options.serial }),
    subject: options.subject ?? "",
    issuer: options.by?.certificate.subject ?? options.subject ?? "",
    notBefore: options.notBefore ?? new Date(now - HOUR_MS),
    notAfter: options.notAfter ?? new Date(now + HOUR_MS),
    publicKey: keys.publicKey,
    signingKey: options.by?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      ...extensionsOf(options),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(options.by?.keys.publicKey ?? keys.publicKey),
    ],
  });
  return {
    certificate,
    keys,
    pem: `${certificate.toString("pem")}\n`,
    keyPem: await pemOfKey(keys.privateKey),
    der: new Uint8Array(certificate.rawData),
  };
}

const CA_USAGE = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;

/** A root and an issuing certificate below it, as the authority makes them. */
export async function forgeAuthority(name: string): Promise<{ root: Forged; issuer: Forged }> {
  const common = { ca: true, keyUsage: CA_USAGE, extendedKeyUsage: undefined, uris: [], dnsNames: [] };
  const root = await forge({ ...common, subject: `CN=${name} root`, pathLength: 1 });
  const issuer = await forge({ ...common, subject: `CN=${name} issuer`, pathLength: 0, by: root });
  return { root, issuer };
}
