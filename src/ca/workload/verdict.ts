/**
 * Whether the peer of a TLS connection is who it must be. Called once per connection, in the `handshake` callback,
 * before the first byte of the application is read or written. Two parts make a verdict: the chain, which TLS has
 * verified against the trust bundle given to it as `ca`, and the leaf, which `svidIdentity` reads.
 *
 * The runtime reports the chain differently on the two sides, which is why there are two functions:
 * - As client it also matches the host name, which an SVID does not carry, so that `authorized` is false for good ones.
 *   Its error is the chain's if the chain has one, and `ERR_TLS_CERT_ALTNAME_INVALID` only where the handshake succeeded
 *   and the chain verified. No error and not authorized: the handshake broke off. Clients must set
 *   `rejectUnauthorized: false`, or the runtime closes the connection whatever the verdict.
 * - As server it calls `handshake` with `success` true even for a chain that it refuses: only `socket.authorized` tells.
 * `test/ca/verdict.test.ts` holds both against real handshakes, kind of bad certificate by kind.
 */

import type { Result } from "../../policy/result.ts";
import type { RevocationCheck } from "./revocations.ts";
import { type PeerIdentity, type PeerRefusal, refusal, svidIdentity } from "./svid.ts";
import type { TrustDomains } from "./trust-domains.ts";

/** The one error code with which a server's chain has verified: what differs is the host name, which SPIFFE does not use. */
const HOST_NAME_MISMATCH = "ERR_TLS_CERT_ALTNAME_INVALID";

export interface ServerFacts {
  /** `socket.authorized`. */
  readonly authorized: boolean;
  /** `code` of the error that `handshake` was called with; null or undefined where there was none. */
  readonly authorizationError: string | null | undefined;
  /** The leaf in DER: `socket.getPeerCertificate().raw`. */
  readonly raw: Uint8Array | undefined;
  readonly expectedSpiffeId: string;
  /** Absent: nothing is revoked. */
  readonly revocation?: RevocationCheck | undefined;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/** What is believed of clients beyond our own trust domain. */
export interface ClientTrust {
  /** Ours among them. */
  readonly domains: TrustDomains;
  /** Certificates of the client in DER, the leaf first, each signed by the next. */
  readonly chain: () => readonly Uint8Array[];
}

export interface ClientFacts {
  /** `socket.authorized`; the `success` argument of `handshake` does not speak about the certificate. */
  readonly authorized: boolean;
  /** The leaf in DER: `socket.getPeerCertificate()?.raw`; undefined where the client sent none. */
  readonly raw: Uint8Array | undefined;
  readonly trustDomain: string;
  /** Absent: only our own trust domain is believed. */
  readonly trust?: ClientTrust | undefined;
  /** Absent: nothing is revoked. */
  readonly revocation?: RevocationCheck | undefined;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/** Our verdict, as client, on the server we reached: it must be exactly the service we meant to reach. */
export function verifyServer(facts: ServerFacts): Result<PeerIdentity, PeerRefusal> {
  const code = facts.authorizationError ?? undefined;
  if (facts.raw === undefined) return refusal("no_certificate", "the server presented no certificate");
  const chainVerified = code === HOST_NAME_MISMATCH || (code === undefined && facts.authorized);
  if (!chainVerified) {
    const why = code ?? "the handshake was not completed";
    return refusal("chain_not_verified", `the server's certificate does not lead to the trust bundle: ${why}`);
  }
  const identity = svidIdentity(facts.raw, facts.nowMs);
  if (!identity.ok || identity.value.id === facts.expectedSpiffeId) return believed(identity, facts.revocation);
  return refusal("unexpected_identity", `expected ${facts.expectedSpiffeId}, reached ${identity.value.id}`);
}

/** Our verdict, as server, on a client: any workload of our trust domain, or of one that is trusted; what it may do is for access policy to say. */
export function verifyClient(facts: ClientFacts): Result<PeerIdentity, PeerRefusal> {
  if (facts.raw === undefined) return refusal("no_certificate", "the client presented no certificate");
  const identity = svidIdentity(facts.raw, facts.nowMs);
  if (!facts.authorized) return notAuthorized(identity);
  if (!identity.ok) return identity;
  const { trustDomain } = identity.value;
  const { trust } = facts;
  if (trust?.domains.has(trustDomain) === true) {
    if (trust.domains.vouchFor(trustDomain, trust.chain(), facts.nowMs)) return believed(identity, facts.revocation);
    return refusal("chain_not_verified", `the client's certificate does not lead to a root of ${trustDomain}`);
  }
  if (trust === undefined && trustDomain === facts.trustDomain) return believed(identity, facts.revocation);
  return refusal("foreign_trust_domain", `${identity.value.id} is not of the trust domain ${facts.trustDomain}`);
}

/** TLS does not tell us why it refuses a client. Where the leaf has expired, or is not for clients, that is why. */
function notAuthorized(leaf: Result<PeerIdentity, PeerRefusal>): Result<never, PeerRefusal> {
  if (!leaf.ok && leaf.error.reason !== "malformed_certificate") return leaf;
  const who = leaf.ok ? `, which says ${leaf.value.id},` : "";
  return refusal("chain_not_verified", `the client's certificate${who} does not lead to the trust bundle`);
}

function believed(
  identity: Result<PeerIdentity, PeerRefusal>,
  revocation: RevocationCheck | undefined,
): Result<PeerIdentity, PeerRefusal> {
  const fault = identity.ok ? revocation?.(identity.value) : undefined;
  return fault === undefined ? identity : refusal("revoked", fault);
}
