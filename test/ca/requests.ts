/** Certificate requests, good ones and others, made with the certificate library. */

import * as x509 from "../../src/ca/x509.ts";

const P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export type KeyAlgorithm =
  | { readonly name: "ECDSA"; readonly namedCurve: "P-256" | "P-384" | "P-521"; readonly hash: string }
  | {
      readonly name: "RSASSA-PKCS1-v1_5";
      readonly modulusLength: number;
      readonly publicExponent: Uint8Array;
      readonly hash: string;
    }
  | { readonly name: "Ed25519" };

export function generateKeys(algorithm: KeyAlgorithm = P256): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

export interface CsrOptions {
  readonly algorithm?: KeyAlgorithm;
  readonly keys?: CryptoKeyPair;
  readonly name?: string;
  readonly extensions?: x509.Extension[];
}

export async function makeCsr(options: CsrOptions = {}): Promise<x509.Pkcs10CertificateRequest> {
  const algorithm = options.algorithm ?? P256;
  return x509.Pkcs10CertificateRequestGenerator.create({
    keys: options.keys ?? (await generateKeys(algorithm)),
    signingAlgorithm: algorithm,
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.extensions === undefined ? {} : { extensions: options.extensions }),
  });
}
