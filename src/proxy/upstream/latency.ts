/**
 * How long an endpoint takes to answer, as a moving average that follows a rise at once and a fall slowly (peak EWMA,
 * as Finagle and Linkerd have it): one bad second costs an endpoint traffic now, and it earns it back by behaving.
 */

/** After this time without news, what is remembered weighs 1/e. */
const DECAY_MS = 10_000;
/** Faster answers count as this: below it, scheduling decides and not the endpoint. */
const FLOOR_MS = 5;
/** Averages within this factor of each other say nothing. */
const NOTABLE_FACTOR = 2;

export class PeakLatency {
  #ms = 0;
  #sampledMs = 0;

  get known(): boolean {
    return this.#sampledMs > 0;
  }

  /** @param failed answers that are quick because nothing was done must not make it look quicker. */
  sample(elapsedMs: number, failed: boolean, nowMs: number): void {
    const before = this.at(nowMs);
    const sample = Math.max(elapsedMs, failed ? before : FLOOR_MS);
    const weight = Math.exp((this.#sampledMs - nowMs) / DECAY_MS);
    this.#ms = sample >= before ? sample : this.#ms * weight + sample * (1 - weight);
    this.#sampledMs = nowMs;
  }

  /** Whether one of the two is notably slower than the other, as of now. */
  differs(other: PeakLatency, nowMs: number): boolean {
    if (!this.known || !other.known) return false;
    const [one, two] = [this.at(nowMs), other.at(nowMs)];
    return Math.max(one, two) >= NOTABLE_FACTOR * Math.min(one, two);
  }

  /** As of now: it fades while nothing is heard, so that an endpoint that was slow is asked again. */
  at(nowMs: number): number {
    return Math.max(FLOOR_MS, this.#ms * Math.exp((this.#sampledMs - nowMs) / DECAY_MS));
  }
}
