/**
 * Who a sidecar is to its peers, and whom it believes: certificate, trust bundle and revocations as of now. Every
 * handshake asks here; what was let in before is looked at again whenever something is believed no longer.
 */

import { compileRevocations, type RevocationCheck } from "../../ca/workload/revocations.ts";
import { certificateFacts, type PeerIdentity, type PeerRefusal } from "../../ca/workload/svid.ts";
import { TrustDomains } from "../../ca/workload/trust-domains.ts";
import type { ServiceSnapshot } from "../../projections/snapshot.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import type { TlsIdentity } from "../io/tls.ts";
import type { Runtime } from "../runtime.ts";

/** Between two log lines about refused peers, which must not be able to fill the disk. */
const REFUSAL_LINE_EVERY_MS = 1_000;

/** The part of a snapshot that says whom to believe. */
type SnapshotTrust = Pick<ServiceSnapshot, "trustDomain" | "revocations" | "federation">;

type Federation = NonNullable<SnapshotTrust["federation"]>;

export interface PeerTrustOptions {
  readonly runtime: Pick<Runtime, "monotonicMs">;
  readonly metrics: Pick<SidecarMetrics, "peersRefused">;
  readonly logger: Logger;
}

export class PeerTrust {
  readonly #options: PeerTrustOptions;
  #tls: TlsIdentity | undefined;
  /** What our own certificate says. */
  #own: PeerIdentity | undefined;
  #check: RevocationCheck = () => undefined;
  #federation: Federation = [];
  #domains: TrustDomains | undefined;
  #quietUntilMs = 0;
  #unsaid = 0;

  constructor(options: PeerTrustOptions) {
    this.#options = options;
  }

  /** What to show peers and whom to believe; undefined while there is no certificate that others would take. */
  get identity(): TlsIdentity | undefined {
    return this.ownFault === undefined ? this.#tls : undefined;
  }

  /** Why our own certificate is believed no longer; undefined: it is, or there is none. */
  get ownFault(): string | undefined {
    return this.#own && this.#check(this.#own);
  }

  /** Why a peer with a good certificate is refused nonetheless, as of now. */
  readonly revocation: RevocationCheck = (peer) => this.#check(peer);

  /** Returns what it replaces. */
  useIdentity(identity: TlsIdentity): TlsIdentity | undefined {
    const previous = this.#tls;
    this.#tls = identity;
    this.#own = certificateFacts(identity.certificateChain);
    this.#domains = domainsOf(identity, this.#federation);
    return previous;
  }

  /**
   * What to show to servers of a trust domain: that domain's roots alone vouch for them. Undefined where it is not
   * trusted.
   */
  identityTowards(trustDomain: string): TlsIdentity | undefined {
    const { identity } = this;
    if (identity === undefined || trustDomain === identity.trustDomain) return identity;
    const roots = this.#federation.find((domain) => domain.trustDomain === trustDomain)?.trustBundle;
    return roots && { ...identity, trustBundle: roots.join("\n") };
  }

  /** Every trust domain that is believed; undefined: ours alone. */
  get domains(): TrustDomains | undefined {
    return this.#domains;
  }

  /**
   * Returns whether there may be connections now that would not be let in any more. Throws, having changed nothing,
   * where a root is none.
   */
  useSnapshot({ trustDomain, revocations, federation = [] }: SnapshotTrust): boolean {
    const unchanged = JSON.stringify(this.#federation) === JSON.stringify(federation);
    // First what can fail: a snapshot that cannot be enforced changes nothing.
    if (!unchanged) this.#domains = domainsOf(this.#tls, federation);
    this.#check = compileRevocations(trustDomain, revocations);
    this.#federation = federation;
    return revocations !== undefined || !unchanged;
  }

  /** Whether a peer that was let in would be refused now; all are while our own certificate is not accepted. */
  isRefused(peer: PeerIdentity | undefined): boolean {
    if (peer === undefined) return false;
    return this.ownFault !== undefined || this.#check(peer) !== undefined || !this.#isBelieved(peer);
  }

  #isBelieved({ trustDomain }: PeerIdentity): boolean {
    return trustDomain === this.#tls?.trustDomain || this.#domains?.has(trustDomain) === true;
  }

  /** Counts a peer that was refused, and says why: at most one line a second. */
  refused(direction: "inbound" | "outbound", peer: string, { reason, message }: PeerRefusal): void {
    const { runtime, metrics, logger } = this.#options;
    metrics.peersRefused.cell({ direction, reason }).value++;
    const nowMs = runtime.monotonicMs();
    if (nowMs < this.#quietUntilMs) {
      this.#unsaid++;
      return;
    }
    const others = this.#unsaid > 0 ? { othersSinceLast: this.#unsaid } : {};
    logger.warn({ peer, direction, refusal: reason, reason: message, ...others }, "refused a peer");
    this.#quietUntilMs = nowMs + REFUSAL_LINE_EVERY_MS;
    this.#unsaid = 0;
  }
}

/** Our own roots vouch for our own domain, and each other domain's for that. Undefined where there is no other. */
function domainsOf(tls: TlsIdentity | undefined, federation: Federation): TrustDomains | undefined {
  if (tls === undefined || federation.length === 0) return undefined;
  const own = { trustDomain: tls.trustDomain, roots: tls.trustBundle.split(/(?=-----BEGIN )/) };
  const others = federation.map(({ trustDomain, trustBundle: roots }) => ({ trustDomain, roots }));
  return new TrustDomains([own, ...others.filter(({ trustDomain }) => trustDomain !== own.trustDomain)]);
}
