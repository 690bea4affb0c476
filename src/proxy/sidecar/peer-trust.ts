/**
 * Who a sidecar is to its peers, and whom it believes: certificate, trust bundle and revocations as of now. Every
 * handshake asks here; what was let in before is looked at again whenever something is believed no longer.
 */

import { compileRevocations, type Revocation, type RevocationCheck } from "../../ca/workload/revocations.ts";
import { certificateFacts, type PeerIdentity, type PeerRefusal } from "../../ca/workload/svid.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import type { TlsIdentity } from "../io/tls.ts";
import type { Runtime } from "../runtime.ts";

/** Between two lines about refused peers: whoever knocks without a key must not fill the disk. */
const REFUSAL_LINE_EVERY_MS = 1_000;

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
    return previous;
  }

  useRevocations(revocations: readonly Revocation[] | undefined): void {
    this.#check = compileRevocations(revocations);
  }

  /** Whether a peer that was let in would be refused now. Everybody is while nobody would let us in. */
  isRefused(peer: PeerIdentity | undefined): boolean {
    return peer !== undefined && (this.ownFault !== undefined || this.#check(peer) !== undefined);
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
