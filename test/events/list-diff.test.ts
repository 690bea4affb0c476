import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { itemsReplaced, listDiff } from "../../src/events/list-diff.ts";

function edit(before: readonly string[], after: readonly string[]): string[] {
  const { removals, insertions } = listDiff(before, after);
  const list = [...before];
  for (const index of removals) list.splice(index, 1);
  for (const index of insertions) list.splice(index, 0, after[index] ?? "?");
  return list;
}

describe("listDiff", () => {
  const rows: [string, string, number[], number[]][] = [
    ["", "", [], []],
    ["", "ab", [], [0, 1]],
    ["ab", "", [1, 0], []],
    ["abc", "abc", [], []],
    ["abc", "axc", [1], [1]],
    ["abc", "ac", [1], []],
    ["ac", "abc", [], [1]],
    ["abc", "cab", [2], [0]],
    ["aab", "ab", [1], []],
    ["abcd", "badc", [2, 0], [1, 3]],
  ];
  for (const [before, after, removals, insertions] of rows) {
    test(`${before || "nothing"} → ${after || "nothing"}`, () => {
      const diff = listDiff([...before], [...after]);
      expect(edit([...before], [...after]).join("")).toBe(after);
      expect(diff).toEqual({ removals, insertions });
    });
  }

  test("leads from any list to any other, removals falling and insertions rising", () => {
    const list = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 12 });
    fc.assert(
      fc.property(list, list, (before, after) => {
        expect(edit(before, after)).toEqual(after);
        const { removals, insertions } = listDiff(before, after);
        expect(removals).toEqual([...removals].sort((a, b) => b - a));
        expect(insertions).toEqual([...insertions].sort((a, b) => a - b));
      }),
    );
  });

  test("is as short as any edit can be", () => {
    const list = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 7 });
    fc.assert(
      fc.property(list, list, (before, after) => {
        const { removals, insertions } = listDiff(before, after);
        expect(removals.length + insertions.length).toBe(
          before.length + after.length - 2 * longestCommon(before, after),
        );
      }),
    );
  });
});

/** By trying everything: too slow to use, too simple to be wrong. */
function longestCommon([a, ...as]: readonly string[], bs: readonly string[]): number {
  if (a === undefined || bs.length === 0) return 0;
  const at = bs.indexOf(a);
  const without = longestCommon(as, bs);
  return at < 0 ? without : Math.max(without, 1 + longestCommon(as, bs.slice(at + 1)));
}

test("items of a list are followed through moves and changes", () => {
  expect(itemsReplaced(["a", "b", "c"], ["a", "x", "c"])).toEqual([0, 1, 2]);
  expect(itemsReplaced(["a", "b", "c"], ["c"])).toEqual([2]);
  expect(itemsReplaced(["a"], ["n", "a", "m"])).toEqual([undefined, 0, undefined]);
  expect(itemsReplaced([], ["a"])).toEqual([undefined]);
  expect(itemsReplaced(["a", "b"], ["x", "y", "z"])).toEqual([0, 1, undefined]);
});
