/** Which backend of a rule a request gets: by chance, or the same one for all that belong together. */

import { hashText } from "../upstream/hash-table.ts";

export interface Weighted<T> {
  readonly weight: number;
  /** The same, whatever else the rule says. */
  readonly name: string;
  readonly outcome: T;
}

/** `random` is asked only where weights differ; `key` is what sticky requests have in common. */
export type Draw<T> = (random: () => number, key: string | undefined) => T;

/** Draws by weight from a table of cumulative integers: the first sum above the ticket. Weight 0 is never drawn. */
export function compileDraw<T>(backends: readonly Weighted<T>[], nowhere: T): Draw<T> {
  const drawable = backends.filter(({ weight }) => weight > 0);
  const [only] = drawable;
  if (only === undefined) return () => nowhere;
  if (drawable.length === 1) return () => only.outcome;
  let total = 0;
  const sums = drawable.map(({ weight }) => (total += weight));
  const sticky = compileRendezvous(drawable);
  return (random, key) => {
    if (key !== undefined) return sticky(key) ?? nowhere;
    const ticket = Math.floor(random() * total);
    const at = sums.findIndex((sum) => ticket < sum);
    return drawable[at]?.outcome ?? nowhere;
  };
}

/** Above the largest 32-bit hash, so that no share is 0 or 1. */
const HASHES = 2 ** 32 + 1;

/**
 * Weighted rendezvous hashing: each backend bids for the key, by its weight. When weights change, keys move only towards
 * those that gained, and no more of them than the change asks for.
 */
function compileRendezvous<T>(backends: readonly Weighted<T>[]): (key: string) => T | undefined {
  return (key) => {
    let best: T | undefined;
    let lowest = Number.POSITIVE_INFINITY;
    for (const { weight, outcome, name } of backends) {
      const bid = -Math.log((hashText(`${name} ${key}`) + 1) / HASHES) / weight;
      if (bid >= lowest) continue;
      lowest = bid;
      best = outcome;
    }
    return best;
  };
}
