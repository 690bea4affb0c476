import { type Allowance, NUISANCES, type NuisanceKind, VERIFIED_NUISANCES } from "./bounds.ts";
import { ConnectionError, ENHANCE_YOUR_CALM } from "./error.ts";

/**
 * Counts what a peer may do sparingly but not in floods: one token bucket per nuisance. The clock is read only when a
 * bucket has run dry, so that a well-behaved peer costs one subtraction.
 */
export class FloodGuard {
  readonly #now: () => number;
  readonly #allowances: readonly Allowance[];
  readonly #tokens: Float64Array;
  readonly #refilledAtMs: Float64Array;

  /**
   * @param now milliseconds, monotonic
   * @param peerIsVerified see `VERIFIED_NUISANCES`
   */
  constructor(now = performance.now.bind(performance), peerIsVerified = false) {
    const allowances = peerIsVerified ? VERIFIED_NUISANCES : NUISANCES;
    this.#now = now;
    this.#allowances = allowances;
    this.#tokens = Float64Array.from(allowances, ({ burst }) => burst);
    this.#refilledAtMs = new Float64Array(allowances.length).fill(now());
  }

  /** Counts one; throws `ConnectionError` ENHANCE_YOUR_CALM when it is one too many. */
  spend(kind: NuisanceKind): void {
    let tokens = this.#tokens[kind] ?? 0;
    if (tokens < 1) {
      tokens = this.#refill(kind, tokens);
      if (tokens < 1) throw new ConnectionError(ENHANCE_YOUR_CALM, this.#allowances[kind]?.detail ?? "flood");
    }
    this.#tokens[kind] = tokens - 1;
  }

  /**
   * Useful work pays for nuisances, so that a busy connection is not held to the measure of an idle one: a tenth of a
   * busy proxy's requests may be cancelled, or malformed, without any ill will of the sidecar that passes them on.
   */
  earn(kind: NuisanceKind, count: number): void {
    const tokens = (this.#tokens[kind] ?? 0) + count;
    const burst = this.#allowances[kind]?.burst ?? 0;
    this.#tokens[kind] = Math.min(tokens, burst);
  }

  #refill(kind: NuisanceKind, tokens: number): number {
    const bucket = this.#allowances[kind];
    if (bucket === undefined) return 0;
    const nowMs = this.#now();
    const elapsedMs = nowMs - (this.#refilledAtMs[kind] ?? nowMs);
    this.#refilledAtMs[kind] = nowMs;
    return Math.min(bucket.burst, tokens + (elapsedMs / 1000) * bucket.perSecond);
  }
}
