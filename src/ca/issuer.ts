/** Signs the leaves of workloads: X.509-SVIDs for requests whose asker is already known. */

import { err, ok, type Result } from "../policy/result.ts";
import { CLOCK_SKEW_MS, ISSUER_RENEWAL_MS, randomSerial, SIGNING_ALGORITHM, type SigningPair } from "./authority.ts";
import { keyIdOf, type LeafIssuer, leafToBeSigned, signedLeaf, subjectOf } from "./leaf.ts";
import { provenKey } from "./request.ts";
import { encodePem } from "./workload/pem.ts";
import { parseIdentity } from "./workload/spiffe-id.ts";
import * as x509 from "./x509.ts";

/** A leaf shorter than this would spend its life being renewed. */
export const LEAF_TTL_MIN_MS = 10_000;
/** Most of a leaf's life that backdating may take up: a short-lived leaf would otherwise be half over at once. */
const SKEW_PART_MAX = 1 / 4;

export interface LeafRequest {
  /** Who asked, as the transport proved it. Nothing in the request itself can say so. */
  readonly spiffeId: string;
  readonly ttlMs: number;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** The validity begins no earlier, though peers' clocks may be behind. */
  readonly notBeforeMinMs?: number;
}

export interface SignedLeaf {
  /** The leaf, then the issuing certificate. */
  readonly chainPem: string;
  /** Lower-case hex. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export class Issuer {
  readonly #certificate: x509.X509Certificate;
  readonly #certificatePem: string;
  readonly #key: CryptoKey;
  readonly #issuer: LeafIssuer;

  /** Throws where `pair` holds no certificate. */
  constructor(pair: SigningPair) {
    this.#certificate = new x509.X509Certificate(pair.certificatePem);
    this.#certificatePem = pair.certificatePem;
    this.#key = pair.key;
    this.#issuer = leafIssuer(this.#certificate);
  }

  get notAfterMs(): number {
    return this.#certificate.notAfter.getTime();
  }

  /** From when on the issuing certificate should be replaced, Unix milliseconds. */
  get renewAfterMs(): number {
    return this.notAfterMs - ISSUER_RENEWAL_MS;
  }

  /**
   * Signs a leaf for the public key in `csr` (PEM, or DER). From the request come the key and the proof that the asker
   * holds it, nothing else: names and extensions that it asks for are not even read. The error is for the asker to
   * read. Throws where `spiffeId` is none or `ttlMs` is too short: both come from us.
   */
  async sign(csr: string | Uint8Array, request: LeafRequest): Promise<Result<SignedLeaf, string>> {
    const publicKey = await provenKey(csr);
    return publicKey.ok ? this.signKey(publicKey.value, request) : publicKey;
  }

  /** As `sign`, for a key that the asker has proved to hold already. */
  async signKey(
    publicKey: CryptoKey,
    { spiffeId, ttlMs, nowMs, notBeforeMinMs = 0 }: LeafRequest,
  ): Promise<Result<SignedLeaf, string>> {
    const identity = parseIdentity(spiffeId);
    if (!identity.ok) throw new TypeError(identity.error);
    if (!(ttlMs >= LEAF_TTL_MIN_MS)) throw new RangeError(`leaf life of ${ttlMs} ms is below ${LEAF_TTL_MIN_MS} ms`);
    // Certificates count whole seconds.
    const notBeforeMs = Math.max(
      wholeSecond(nowMs - Math.min(CLOCK_SKEW_MS, ttlMs * SKEW_PART_MAX)),
      Math.ceil(notBeforeMinMs / 1000) * 1000,
      this.#certificate.notBefore.getTime(),
    );
    const notAfterMs = Math.min(wholeSecond(nowMs + ttlMs), this.notAfterMs);
    if (notAfterMs <= nowMs) return err("the mesh's root has expired, nothing can be signed: heddle ca rotate");
    const serial = randomSerial();
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
    const fields = { serial, notBeforeMs, notAfterMs, spki, spiffeId: identity.value.id };
    const toBeSigned = new Uint8Array(leafToBeSigned(fields, this.#issuer));
    const signature = new Uint8Array(await crypto.subtle.sign(SIGNING_ALGORITHM, this.#key, toBeSigned));
    const leafPem = encodePem("CERTIFICATE", signedLeaf(toBeSigned, signature));
    return ok({ chainPem: leafPem + this.#certificatePem, serial, notBeforeMs, notAfterMs });
  }
}

/** As leaves must name it: a certificate that somebody else has signed may give its key a name of its own choice. */
function leafIssuer(certificate: x509.X509Certificate): LeafIssuer {
  const named = certificate.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
  return {
    name: subjectOf(new Uint8Array(certificate.rawData)),
    keyId: named === undefined ? keyIdOf(new Uint8Array(certificate.publicKey.rawData)) : Uint8Array.fromHex(named),
  };
}

function wholeSecond(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000;
}
