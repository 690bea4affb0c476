/** A workload's key pair and its certificate request (PKCS#10, RFC 2986 §4), with nothing in it but the key. */

import { contextTag, der, derUnsigned, TAG } from "./der.ts";
import { decodePem, encodePem } from "./pem.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const SCALAR_BYTES = 32;
/** AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758 §3.2). */
const ECDSA_WITH_SHA256 = der(TAG.sequence, der(TAG.oid, Uint8Array.fromHex("2a8648ce3d040302")));

export interface KeyAndRequest {
  /** P-256, PKCS#8. Never leaves the workload. */
  readonly keyPem: string;
  readonly csrPem: string;
}

/** A new key, and the request that proves who holds it. Names are left out: the authority knows who asks. */
export async function createKeyAndRequest(): Promise<KeyAndRequest> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const version = der(TAG.integer, Uint8Array.of(0));
  const subject = der(TAG.sequence);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  const info = new Uint8Array(der(TAG.sequence, version, subject, spki, der(contextTag(0))));
  const signature = new Uint8Array(await crypto.subtle.sign(ALGORITHM, keys.privateKey, info));
  const halves = [signature.subarray(0, SCALAR_BYTES), signature.subarray(SCALAR_BYTES)];
  const pair = der(TAG.sequence, ...halves.map(derUnsigned));
  // The octet before the signature counts the unused bits of the bit string.
  const csr = der(TAG.sequence, info, ECDSA_WITH_SHA256, der(TAG.bitString, Uint8Array.of(0), pair));
  return {
    keyPem: encodePem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey))),
    csrPem: encodePem("CERTIFICATE REQUEST", csr),
  };
}

/** Whether a private key (PKCS#8 PEM, P-256) belongs to a public one (SubjectPublicKeyInfo): by trying. */
export async function keyMatches(keyPem: string, spki: Uint8Array): Promise<boolean> {
  const [pkcs8] = decodePem("PRIVATE KEY", keyPem) ?? [];
  if (pkcs8 === undefined) return false;
  const probe = crypto.getRandomValues(new Uint8Array(32));
  try {
    const privateKey = await crypto.subtle.importKey("pkcs8", new Uint8Array(pkcs8), ALGORITHM, false, ["sign"]);
    const publicKey = await crypto.subtle.importKey("spki", new Uint8Array(spki), ALGORITHM, false, ["verify"]);
    return await crypto.subtle.verify(
      ALGORITHM,
      publicKey,
      await crypto.subtle.sign(ALGORITHM, privateKey, probe),
      probe,
    );
  } catch {
    return false;
  }
}
