import { expect, test } from "bun:test";
import fc from "fast-check";
import { bisectStep, type Verdict } from "../../src/replay/bisect.ts";

/** Searches to the end; `tells` says what trying a revision shows. */
function search(revisions: readonly number[], tells: (revision: number) => Verdict) {
  const verdicts = new Map<number, Verdict>();
  for (;;) {
    const step = bisectStep(revisions, verdicts);
    if (step.kind !== "try") return { step, trials: verdicts.size };
    expect(verdicts.has(step.revision)).toBe(false);
    verdicts.set(step.revision, tells(step.revision));
  }
}

const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 100 });

test("the first bad one is found in as many steps as halving takes", () => {
  fc.assert(
    fc.property(numbers, fc.nat(), (list, pick) => {
      const revisions = list.toSorted((a, b) => a - b);
      const first = revisions[pick % revisions.length] ?? 0;
      const { step, trials } = search(revisions, (revision) => (revision < first ? "good" : "bad"));
      expect(step).toEqual({ kind: "found", revision: first });
      expect(trials).toBeLessThanOrEqual(Math.ceil(Math.log2(revisions.length)));
    }),
  );
});

test("what is skipped is stepped around, and named where it hides the answer", () => {
  fc.assert(
    fc.property(numbers, fc.nat(), fc.array(fc.boolean(), { minLength: 100, maxLength: 100 }), (list, pick, skips) => {
      const revisions = list.toSorted((a, b) => a - b);
      const first = revisions[pick % revisions.length] ?? 0;
      const { step } = search(revisions, (revision) => {
        if (skips[revisions.indexOf(revision)] === true) return "skip";
        return revision < first ? "good" : "bad";
      });
      if (step.kind === "found") expect(step.revision).toBe(first);
      else expect(step.kind === "unclear" && step.revisions).toContain(first);
    }),
  );
});

test("of one change there is nothing to try, of none nothing to find", () => {
  expect(bisectStep([7], new Map())).toEqual({ kind: "found", revision: 7 });
  expect(() => bisectStep([], new Map())).toThrow(RangeError);
});
