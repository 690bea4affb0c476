/** Refusals of certificates as lines of the log: whoever asks a thousand times a second must not fill the disk. */

import type { Logger } from "../telemetry/logger.ts";

/** Between two lines about one service. */
const LINE_EVERY_MS = 1_000;
/** Services that are kept apart; beyond them, the one whose line is the oldest is forgotten. */
const SERVICES_MAX = 1_000;

interface Refusal {
  /** Unix milliseconds. */
  readonly timeMs: number;
  readonly namespace: string;
  readonly service: string;
}

interface Quiet {
  readonly sinceMs: number;
  unsaid: number;
}

export class RefusedCertificates {
  readonly #logger: Pick<Logger, "warn">;
  readonly #quiet = new Map<string, Quiet>();

  constructor(logger: Pick<Logger, "warn">) {
    this.#logger = logger;
  }

  /** Says so, at most once a second of a service; the next line tells how many there were in between. */
  note(refusal: Refusal): void {
    const { namespace, service, timeMs } = refusal;
    const key = `${namespace}/${service}`;
    const quiet = this.#quiet.get(key);
    const sinceMs = quiet === undefined ? undefined : timeMs - quiet.sinceMs;
    // A clock that was set back silences nobody.
    if (quiet !== undefined && sinceMs !== undefined && sinceMs >= 0 && sinceMs < LINE_EVERY_MS) {
      quiet.unsaid++;
      return;
    }
    const others = quiet !== undefined && quiet.unsaid > 0 ? { othersSinceLast: quiet.unsaid } : {};
    this.#logger.warn({ ...refusal, ...others }, "certificate refused");
    this.#quiet.delete(key);
    this.#quiet.set(key, { sinceMs: timeMs, unsaid: 0 });
    const [oldest] = this.#quiet.keys();
    if (this.#quiet.size > SERVICES_MAX && oldest !== undefined) this.#quiet.delete(oldest);
  }
}
