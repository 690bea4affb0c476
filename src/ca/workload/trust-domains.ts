/**
 * Which roots vouch for which trust domain, where there is more than one. TLS believes a root for every name that it
 * signs; here each vouches for its own domain only, or a federated one could sign for ours.
 */

import { X509Certificate } from "node:crypto";
import { KEY_USAGE, readCertificate } from "./certificate.ts";

export interface DomainRoots {
  readonly trustDomain: string;
  /** PEM of each. */
  readonly roots: readonly string[];
}

/** Certificates between a leaf and a root, the leaf among them. */
const CHAIN_MAX = 4;

export class TrustDomains {
  /** PEM of every root of every domain: what TLS is given to believe. */
  readonly bundle: string;
  readonly #roots: ReadonlyMap<string, readonly X509Certificate[]>;

  /** Throws where a root is no certificate. */
  constructor(domains: readonly DomainRoots[]) {
    this.bundle = domains.flatMap(({ roots }) => roots).join("\n");
    this.#roots = new Map(
      domains.map(({ trustDomain, roots }) => [trustDomain, roots.map((pem) => new X509Certificate(pem))]),
    );
  }

  has(trustDomain: string): boolean {
    return this.#roots.has(trustDomain);
  }

  /**
   * Whether a chain (DER, the leaf first, of which each signed the one before) leads to a root of this very domain. Judged
   * here from signature to signature, whatever way TLS has found. Some hundred microseconds for each link.
   */
  vouchFor(trustDomain: string, chain: readonly Uint8Array[], nowMs: number): boolean {
    const roots = this.#roots.get(trustDomain) ?? [];
    const links = chain.slice(0, CHAIN_MAX).map((der) => new X509Certificate(Buffer.from(der)));
    for (const [index, link] of links.entries()) {
      // Of the leaf's form and time others have judged.
      if (index > 0 && !maySign(chain[index], nowMs)) return false;
      const below = links[index - 1];
      if (below !== undefined && !(below.checkIssued(link) && below.verify(link.publicKey))) return false;
      if (roots.some((root) => isRootOf(root, link, nowMs))) return true;
    }
    return false;
  }
}

function isRootOf(root: X509Certificate, link: X509Certificate, nowMs: number): boolean {
  const isValid = nowMs >= Date.parse(root.validFrom) && nowMs <= Date.parse(root.validTo);
  return isValid && link.checkIssued(root) && link.verify(root.publicKey);
}

/** RFC 5280 §4.2.1.3, §4.2.1.9. */
function maySign(der: Uint8Array | undefined, nowMs: number): boolean {
  const certificate = der && readCertificate(der);
  if (certificate === undefined) return false;
  const { ca, keyUsage = 0, notBeforeMs, notAfterMs } = certificate;
  return ca && (keyUsage & KEY_USAGE.keyCertSign) !== 0 && nowMs >= notBeforeMs && nowMs <= notAfterMs;
}
