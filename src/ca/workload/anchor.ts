/** Which root a certificate of our own leads to. Peers are judged elsewhere (`verdict.ts`). */

import { X509Certificate } from "node:crypto";
import { decodePem, encodePem, fingerprint } from "./pem.ts";

/**
 * Fingerprint of the root among `bundle` that signed the issuing certificate at the end of `chainPem`; undefined where
 * none did. Some hundred microseconds.
 */
export function anchorOf(chainPem: string, bundle: readonly string[]): string | undefined {
  const last = decodePem("CERTIFICATE", chainPem)?.at(-1);
  if (last === undefined) return undefined;
  const signed = new X509Certificate(encodePem("CERTIFICATE", last));
  const root = bundle.find((pem) => {
    const candidate = new X509Certificate(pem);
    return signed.checkIssued(candidate) && signed.verify(candidate.publicKey);
  });
  const found = root === undefined ? undefined : fingerprint(root);
  return found?.ok === true ? found.value : undefined;
}
