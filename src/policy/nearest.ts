/** "Did you mean": the candidate that a typing slip away would have been. */

/** More than this and a suggestion confuses more than it helps. */
const DISTANCE_MAX = 3;

/**
 * The candidate closest to `text` by edit distance, ignoring case, as long as no more than about one letter in three
 * differs; failing that one that `text` begins, or that begins with it. Undefined when there is neither.
 */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
  const wanted = text.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.min(DISTANCE_MAX, Math.max(1, Math.floor(text.length / 3))) + 1;
  let related: string | undefined;
  for (const candidate of candidates) {
    const offered = candidate.toLowerCase();
    const distance = editDistance(wanted, offered, bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
    if (related === undefined && sharesBeginning(wanted, offered)) related = candidate;
  }
  return best ?? related;
}

/** `perTry` means `perTryTimeout`, and no count of slips would find it. */
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
