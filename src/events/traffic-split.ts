/** Percentages into weights. All arithmetic is in whole hundredths of a percent, so nothing drifts. */

import { err, ok, type Result } from "../policy/result.ts";

/** 100 percent. */
const WHOLE = 10_000;

/**
 * New weights for the subsets in `old`: those in `percent` get what they are given, the others share the rest in
 * proportion to their old weights (equally where those are all zero). The weights sum to 100 where that is exact,
 * to 10,000 otherwise.
 * @returns why it cannot be done, in words: more than 100 in all, too fine a percentage, or a rest that nobody takes.
 */
export function splitTraffic(
  old: ReadonlyMap<string, number>,
  percent: ReadonlyMap<string, number>,
): Result<Map<string, number>, string> {
  const given = new Map<string, number>();
  for (const [subset, share] of percent) {
    const hundredths = Math.round(share * 100);
    if (Math.abs(share * 100 - hundredths) > 1e-6) {
      return err(`${share}% for ${subset} is finer than a hundredth of a percent`);
    }
    given.set(subset, hundredths);
  }
  const rest = WHOLE - sum(given.values());
  if (rest < 0) return err(`the percentages add up to ${(WHOLE - rest) / 100}, which is more than 100`);
  const others = new Map([...old].filter(([subset]) => !given.has(subset)));
  if (rest > 0 && others.size === 0) {
    return err(
      `the percentages add up to ${(WHOLE - rest) / 100}, and no other subset takes the remaining ${rest / 100}`,
    );
  }
  const shared = share(rest, others);
  const hundredths = new Map(
    Array.from(old.keys(), (subset) => [subset, given.get(subset) ?? shared.get(subset) ?? 0]),
  );
  const isWhole = [...hundredths.values()].every((weight) => weight % 100 === 0);
  return ok(isWhole ? new Map(Array.from(hundredths, ([subset, weight]) => [subset, weight / 100])) : hundredths);
}

/** Whether two sets of weights send the same fractions to the same subsets. */
export function sameSplit(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  const [totalA, totalB] = [sum(a.values()), sum(b.values())];
  const subsets = new Set([...a.keys(), ...b.keys()]);
  return [...subsets].every((subset) => (a.get(subset) ?? 0) * totalB === (b.get(subset) ?? 0) * totalA);
}

/** Whole shares of `amount` in proportion, the leftovers to the largest remainders (Hamilton's method). */
function share(amount: number, weights: ReadonlyMap<string, number>): Map<string, number> {
  const total = sum(weights.values());
  const divisor = total === 0 ? weights.size : total;
  const shares = Array.from(weights, ([subset, weight]) => {
    const dividend = amount * (total === 0 ? 1 : weight);
    return { subset, whole: Math.floor(dividend / divisor), remainder: dividend % divisor };
  });
  let left = amount - sum(shares.map(({ whole }) => whole));
  for (const portion of shares.toSorted((a, b) => b.remainder - a.remainder)) {
    if (left === 0) break;
    portion.whole += 1;
    left -= 1;
  }
  return new Map(shares.map(({ subset, whole }) => [subset, whole]));
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
