/** "Did you mean": the candidate that a typing slip away would have been. */

/** More than this and a suggestion confuses more than it helps. */
const DISTANCE_MAX = 3;

/**
 * The candidate closest to `text` by edit distance, ignoring case; undefined when none is close enough, which is
 * about one slip in three letters. A candidate that `text` begins, or that begins it, counts as close.
 */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
  const wanted = text.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.min(DISTANCE_MAX, Math.max(1, Math.floor(text.length / 3))) + 1;
  for (const candidate of candidates) {
    const offered = candidate.toLowerCase();
    const distance = sharesBeginning(wanted, offered) ? 1 : editDistance(wanted, offered, bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `retry` for `retries` is caught by distance; `conn` for `connectionPool`, `ratelimits` for `rateLimit` by this. */
function sharesBeginning(wanted: string, offered: string): boolean {
  const [shorter, longer] = wanted.length < offered.length ? [wanted, offered] : [offered, wanted];
  return shorter.length >= 3 && longer.startsWith(shorter);
}

/** Levenshtein distance with transposed neighbours as one slip; `limit` or more is returned as `limit`. */
function editDistance(left: string, right: string, limit: number): number {
  if (Math.abs(left.length - right.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      let cost = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (swapped) cost = Math.min(cost, (beforeLast[column - 2] ?? 0) + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return Math.min(limit, last[right.length] ?? limit);
}
