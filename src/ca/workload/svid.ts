/** X.509-SVIDs (SPIFFE X509-SVID §2 to §5): from a peer's leaf certificate to who the peer is. */

import { err, ok, type Result } from "../../policy/result.ts";
import { type Certificate, KEY_USAGE, readCertificate } from "./certificate.ts";
import { decodePem } from "./pem.ts";
import { type Identity, parseIdentity } from "./spiffe-id.ts";

/** Why a peer is not believed: `reason` for metrics and `response_code_details`, `message` for a person. */
export interface PeerRefusal {
  readonly reason:
    | "no_certificate"
    | "chain_not_verified"
    | "malformed_certificate"
    | "not_an_svid"
    | "not_yet_valid"
    | "expired"
    | "foreign_trust_domain"
    | "unexpected_identity"
    | "revoked"
    | "handshake_failed"
    | "session_resumed";
  readonly message: string;
}

/** Who a peer is, and until when its certificate vouches for that. */
export interface PeerIdentity extends Identity {
  /** Of the certificate: lower-case hex. */
  readonly serial: string;
  /** Unix milliseconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A peer that is not believed, as an expected failure. */
export function refusal(reason: PeerRefusal["reason"], message: string): Result<never, PeerRefusal> {
  return err({ reason, message });
}

/** Larger leaves are not read: ours have some 500 bytes, and this runs on bytes that a stranger chose. */
const LEAF_BYTES_MAX = 16 * 1024;

/**
 * What keeps a certificate from being a leaf SVID (X509-SVID §4, and this mesh's form of a SPIFFE ID); undefined:
 * nothing.
 */
function leafFault(leaf: Certificate): string | undefined {
  if (leaf.ca) return "it is a signing certificate (cA true)";
  if (leaf.keyUsage === undefined || !leaf.keyUsageCritical) return "it has no critical keyUsage";
  if ((leaf.keyUsage & KEY_USAGE.digitalSignature) === 0) return "its keyUsage lacks digitalSignature";
  if ((leaf.keyUsage & (KEY_USAGE.keyCertSign | KEY_USAGE.crlSign)) !== 0) return "its keyUsage allows signing others";
  if (!leaf.serverAuth || !leaf.clientAuth) return "its extended key usage lacks serverAuth or clientAuth";
  if (leaf.uris.length !== 1) return `it has ${leaf.uris.length} URI names where an SVID has exactly one`;
  if (leaf.subjectEmpty && !leaf.sanCritical) return "its subject is empty but its subjectAltName is not critical";
  return undefined;
}

/**
 * The identity in a leaf certificate, if it has the exact form of an SVID and `nowMs` lies within its validity.
 * Says nothing about who signed it: `verifyServer` and `verifyClient` join this with TLS's verdict on the chain.
 * Takes microseconds, never throws.
 */
export function svidIdentity(der: Uint8Array, nowMs: number): Result<PeerIdentity, PeerRefusal> {
  const leaf = der.length > LEAF_BYTES_MAX ? undefined : readCertificate(der);
  if (leaf === undefined) return refusal("malformed_certificate", "the peer's certificate is not X.509 v3 in DER");
  const fault = leafFault(leaf);
  if (fault !== undefined) return refusal("not_an_svid", `the peer's certificate is no X.509-SVID: ${fault}`);
  if (nowMs < leaf.notBeforeMs) {
    const from = isoTime(leaf.notBeforeMs);
    return refusal("not_yet_valid", `the peer's certificate is valid only from ${from}; ${clockText(nowMs)}`);
  }
  if (nowMs > leaf.notAfterMs) {
    return refusal("expired", `the peer's certificate expired at ${isoTime(leaf.notAfterMs)}; ${clockText(nowMs)}`);
  }
  const identity = parseIdentity(leaf.uris[0] ?? "");
  return identity.ok
    ? ok({
        ...identity.value,
        serial: leaf.serial,
        notBeforeMs: leaf.notBeforeMs,
        notAfterMs: leaf.notAfterMs,
      })
    : refusal("not_an_svid", `the peer's certificate is no X.509-SVID: ${identity.error}`);
}

/**
 * What the leaf of a chain (PEM) of our own says of itself; undefined where it is no certificate of a workload. Its
 * form and time are not judged.
 */
export function certificateFacts(chainPem: string): PeerIdentity | undefined {
  const [der] = decodePem("CERTIFICATE", chainPem) ?? [];
  const leaf = der && readCertificate(der);
  const identity = parseIdentity(leaf?.uris[0] ?? "");
  if (leaf === undefined || !identity.ok) return undefined;
  const { serial, notBeforeMs, notAfterMs } = leaf;
  return { ...identity.value, serial, notBeforeMs, notAfterMs };
}

/** A certificate that is new and yet expired tells of a clock that is wrong, if one is told what the clock says. */
function clockText(nowMs: number): string {
  return `by this machine's clock it is ${isoTime(nowMs)}`;
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
