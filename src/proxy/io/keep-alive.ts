/**
 * Finds out whether the other end of a connection is still there: it must acknowledge our settings in time, and answer a
 * PING when it has said nothing for a while. A machine that lost its power, or a path that a firewall forgot, says
 * nothing else; TCP alone would wait for a quarter of an hour, with requests sent into nowhere meanwhile.
 */

import type { PeerProbe } from "../codec/message.ts";
import type { LimitMet } from "../limits.ts";
import type { Runtime } from "../runtime.ts";
import { Timer } from "./timers.ts";
import type { Wire } from "./wire.ts";

export interface KeepAliveOptions {
  readonly runtime: Runtime;
  readonly wire: Wire;
  readonly probe: PeerProbe;
  /** False: only the settings are waited for. Servers of gRPC end connections whose client pings them as often as we do. */
  readonly pings: boolean;
  readonly onGivenUp?: LimitMet;
}

export class KeepAlive {
  readonly #options: KeepAliveOptions;
  readonly #timer: Timer;
  #bytesRead = 0;
  /** A PING is out since this time, monotonic milliseconds, and nothing came since. */
  #pingedMs: number | undefined;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    this.#timer = new Timer(() => this.#look());
    const { runtime } = options;
    runtime.timers.arm(this.#timer, runtime.limits.settingsTimeoutMs);
  }

  stop(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const { runtime, wire, probe, pings, onGivenUp } = this.#options;
    if (wire.closed) return;
    if (!probe.settingsAcknowledged) {
      onGivenUp?.("settingsTimeoutMs");
      probe.giveUp("settings");
      return;
    }
    if (!pings) return;
    const { keepAliveIntervalMs, keepAliveTimeoutMs } = runtime.limits;
    const heard = wire.bytesRead !== this.#bytesRead;
    this.#bytesRead = wire.bytesRead;
    // Where we do not read, or it does not, nothing can be heard: other bounds hold for such a peer.
    if (heard || wire.readingPaused || wire.queuedBytes > 0) {
      this.#pingedMs = undefined;
      runtime.timers.arm(this.#timer, keepAliveIntervalMs);
      return;
    }
    const nowMs = runtime.monotonicMs();
    if (this.#pingedMs === undefined) {
      this.#pingedMs = nowMs;
      probe.ping();
    }
    const leftMs = this.#pingedMs + keepAliveTimeoutMs - nowMs;
    if (leftMs > 0) {
      runtime.timers.arm(this.#timer, Math.min(keepAliveIntervalMs, leftMs));
      return;
    }
    onGivenUp?.("keepAliveTimeoutMs");
    probe.giveUp("ping");
  }
}
