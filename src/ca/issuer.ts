/** Signs the leaves of workloads: X.509-SVIDs for requests whose asker is already known. */

import { err, ok, type Result } from "../policy/result.ts";
import { CLOCK_SKEW_MS, ISSUER_RENEWAL_MS, randomSerial, SIGNING_ALGORITHM, type SigningPair } from "./authority.ts";
import { provenKey } from "./request.ts";
import { encodePem } from "./workload/pem.ts";
import { parseIdentity } from "./workload/spiffe-id.ts";
import * as x509 from "./x509.ts";

/** A leaf shorter than this would spend its life being renewed. */
export const LEAF_TTL_MIN_MS = 10_000;
/** Part of a leaf's life by which its validity begins earlier, at most: one that lives shortly would be half over at once. */
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
  readonly #issuerName: x509.JsonName;
  /** The same in every leaf, and a tenth of the work of one. */
  readonly #authorityKey: Promise<x509.Extension>;

  /** Throws where `pair` holds no certificate. */
  constructor(pair: SigningPair) {
    this.#certificate = new x509.X509Certificate(pair.certificatePem);
    this.#certificatePem = pair.certificatePem;
    this.#key = pair.key;
    this.#issuerName = this.#certificate.subjectName.toJSON();
    this.#authorityKey = x509.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey);
    // Whoever signs is told; until then it is nobody's to catch.
    this.#authorityKey.catch(() => {});
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
   * holds it, nothing else: names and extensions that it asks for are not even read. The error is for the asker to read.
   * Throws where `spiffeId` is none or `ttlMs` is too short: both come from us.
   */
  async sign(
    csr: string | Uint8Array,
    { spiffeId, ttlMs, nowMs, notBeforeMinMs = 0 }: LeafRequest,
  ): Promise<Result<SignedLeaf, string>> {
    const identity = parseIdentity(spiffeId);
    if (!identity.ok) throw new TypeError(identity.error);
    if (!(ttlMs >= LEAF_TTL_MIN_MS)) throw new RangeError(`leaf life of ${ttlMs} ms is below ${LEAF_TTL_MIN_MS} ms`);
    const publicKey = await provenKey(csr);
    if (!publicKey.ok) return publicKey;

    // Certificates count whole seconds.
    const notBeforeMs = Math.max(
      wholeSecond(nowMs - Math.min(CLOCK_SKEW_MS, ttlMs * SKEW_PART_MAX)),
      Math.ceil(notBeforeMinMs / 1000) * 1000,
      this.#certificate.notBefore.getTime(),
    );
    const notAfterMs = Math.min(wholeSecond(nowMs + ttlMs), this.notAfterMs);
    if (notAfterMs <= nowMs) return err("the mesh's root has expired, nothing can be signed: heddle ca rotate");
    const serial = randomSerial();
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: serial,
      subject: "",
      issuer: this.#issuerName,
      notBefore: new Date(notBeforeMs),
      notAfter: new Date(notAfterMs),
      publicKey: publicKey.value,
      signingKey: this.#key,
      signingAlgorithm: SIGNING_ALGORITHM,
      extensions: await this.#leafExtensions(publicKey.value, identity.value.id),
    });
    const leafPem = encodePem("CERTIFICATE", new Uint8Array(leaf.rawData));
    return ok({ chainPem: leafPem + this.#certificatePem, serial, notBeforeMs, notAfterMs });
  }

  /** SPIFFE X509-SVID §4; the SAN is critical because the subject is empty (RFC 5280 §4.2.1.6). */
  async #leafExtensions(publicKey: CryptoKey, spiffeId: string): Promise<x509.Extension[]> {
    return [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: spiffeId }], true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await this.#authorityKey,
    ];
  }
}

function wholeSecond(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000;
}
