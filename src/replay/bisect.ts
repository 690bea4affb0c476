/** Which of many changes broke something: the search, apart from how a change is tried. */

export type Verdict = "good" | "bad" | "skip";

export type BisectStep =
  /** Try this one; about so many more steps after it. */
  | { readonly kind: "try"; readonly revision: number; readonly stepsLeft: number }
  | { readonly kind: "found"; readonly revision: number }
  /** Only what was skipped is left: it is one of these. */
  | { readonly kind: "unclear"; readonly revisions: readonly number[] };

/**
 * What to do next. Everything before a good revision is good, everything after a bad one bad.
 * @param revisions in order; what came before the first is known to be good, and the last to be bad
 */
export function bisectStep(revisions: readonly number[], verdicts: ReadonlyMap<number, Verdict>): BisectStep {
  const lastGood = revisions.findLastIndex((revision) => verdicts.get(revision) === "good");
  const after = revisions.slice(lastGood + 1);
  const firstBad = after.findIndex((revision) => verdicts.get(revision) === "bad");
  const suspects = firstBad < 0 ? after : after.slice(0, firstBad + 1);
  const [only, ...more] = suspects;
  if (only === undefined) throw new RangeError("a search needs a change that is bad");
  if (more.length === 0) return { kind: "found", revision: only };
  // Trying the last one would say nothing: it is bad already.
  const untried = suspects.slice(0, -1).filter((revision) => !verdicts.has(revision));
  if (untried.length === 0) return { kind: "unclear", revisions: suspects };
  const middle = (suspects.length - 2) / 2;
  const distance = (revision: number): number => Math.abs(suspects.indexOf(revision) - middle);
  const nearest = untried.reduce((best, next) => (distance(next) < distance(best) ? next : best));
  return { kind: "try", revision: nearest, stepsLeft: Math.ceil(Math.log2(suspects.length)) - 1 };
}
