/** How much each of many may ask for: one token bucket per key, so that one that goes wild takes nothing from the others. */

export interface AllowanceRate {
  /** That may be asked for at once. */
  readonly burst: number;
  /** And regained per second. */
  readonly perSecond: number;
}

/** Keys that are remembered. Beyond that the one that asked longest ago is forgotten, and has a full allowance again. */
const KEYS_MAX = 10_000;

interface Allowance {
  tokens: number;
  updatedMs: number;
}

export class Allowances<K> {
  readonly #rate: AllowanceRate;
  readonly #byKey = new Map<K, Allowance>();

  constructor(rate: AllowanceRate) {
    this.#rate = rate;
  }

  /** Whether there was one left, which is then used. */
  take(key: K, nowMs: number): boolean {
    const { burst, perSecond } = this.#rate;
    const known = this.#byKey.get(key) ?? { tokens: burst, updatedMs: nowMs };
    // A clock that was set back gives nothing, and takes nothing.
    const gained = (Math.max(nowMs - known.updatedMs, 0) / 1000) * perSecond;
    const tokens = Math.min(known.tokens + gained, burst);
    const granted = tokens >= 1;
    // Set anew, so that the map's order is the order of last use.
    this.#byKey.delete(key);
    this.#byKey.set(key, { tokens: granted ? tokens - 1 : tokens, updatedMs: nowMs });
    const [oldest] = this.#byKey.keys();
    if (this.#byKey.size > KEYS_MAX && oldest !== undefined) this.#byKey.delete(oldest);
    return granted;
  }
}
