/** PEM (RFC 7468), strictly, and the trust bundle as a list of it. */

import { err, ok, type Result } from "../../policy/result.ts";
import { readCertificate } from "./certificate.ts";

/** Roots in one trust bundle: two while rotating, a few with federation. The bound keeps a bad bundle from eating memory. */
export const BUNDLE_ROOTS_MAX = 64;

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----/g;

/** One block, base64 in lines of 64 characters (RFC 7468 §2), ending in a newline so that blocks can be joined. */
export function encodePem(label: string, der: Uint8Array): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The bytes of every block with this label, in order. Undefined where the base64 of one is broken. */
export function decodePem(label: string, text: string): Uint8Array[] | undefined {
  const blocks: Uint8Array[] = [];
  for (const [, found, body] of text.matchAll(BLOCK)) {
    if (found !== label || body === undefined) continue;
    try {
      blocks.push(Uint8Array.fromBase64(body, { lastChunkHandling: "strict" }));
    } catch {
      return undefined;
    }
  }
  return blocks;
}

/** SHA-256 of a certificate's DER, lower-case hex: how events and people name a root. The error says what is wrong. */
export function fingerprint(pem: string): Result<string, string> {
  const [certificate, ...more] = decodePem("CERTIFICATE", pem) ?? [];
  if (certificate === undefined || more.length > 0) return err("expected exactly one PEM certificate");
  return ok(new Bun.CryptoHasher("sha256").update(certificate).digest("hex"));
}

/**
 * A trust bundle as one PEM text per root, each certificate read and found to be a signing certificate. Never empty:
 * given an empty `ca`, TLS would fall back on the public certificate authorities of the web. The error says what is wrong.
 */
export function parseBundle(text: string): Result<readonly string[], string> {
  const roots = decodePem("CERTIFICATE", text);
  if (roots === undefined) return err("the trust bundle holds broken PEM");
  if (roots.length === 0) return err("the trust bundle holds no certificate");
  if (roots.length > BUNDLE_ROOTS_MAX) return err(`the trust bundle holds more than ${BUNDLE_ROOTS_MAX} certificates`);
  for (const [index, root] of roots.entries()) {
    const certificate = readCertificate(root);
    if (certificate === undefined) return err(`certificate ${index + 1} of the trust bundle is not X.509 v3`);
    if (!certificate.ca) return err(`certificate ${index + 1} of the trust bundle is no signing certificate`);
  }
  return ok(roots.map((root) => encodePem("CERTIFICATE", root)));
}
