import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { mergeThreeWay } from "../../src/events/three-way.ts";

const ordered = { isOrdered: () => true };

describe("what both sides did to different places stands", () => {
  test.each<[string, unknown, unknown, unknown, unknown]>([
    ["only mine changed", 1, 2, 1, 2],
    ["only theirs changed", 1, 1, 2, 2],
    ["both changed alike", 1, 2, 2, 2],
    ["different fields", { a: 1, b: 1 }, { a: 2, b: 1 }, { a: 1, b: 2 }, { a: 2, b: 2 }],
    ["a field went, another came", { a: 1 }, {}, { a: 1, b: 2 }, { b: 2 }],
    ["an item went, another came behind it", ["a"], [], ["a", "b"], ["b"]],
    ["an item comes back to its place", ["a", "c"], ["a", "b", "c"], ["a", "c", "d"], ["a", "b", "c", "d"]],
    ["an item comes back to the front", ["b"], ["a", "b"], ["b", "c"], ["a", "b", "c"]],
    ["different fields of one item", [{ a: 1, b: 1 }], [{ a: 2, b: 1 }], [{ a: 1, b: 2 }], [{ a: 2, b: 2 }]],
    ["an item that they moved down", [{ a: 1 }], [{ a: 2 }], ["x", { a: 1 }], ["x", { a: 2 }]],
    ["they brought back the same", ["a"], ["a", "b"], ["a", "b"], ["a", "b"]],
    ["what they took away stays away", ["a", "b"], ["a", "b", "c"], ["a"], ["a", "c"]],
  ])("%s", (_, base, mine, theirs, merged) => {
    expect(mergeThreeWay(base, mine, theirs)).toEqual({ value: merged, conflicts: [] });
  });
});

describe("what both changed, and not alike, is a conflict, and theirs stays", () => {
  test.each<[string, unknown, unknown, unknown, (string | number)[][]]>([
    ["a value", { a: 1 }, { a: 2 }, { a: 3 }, [["a"]]],
    ["mine takes away what they changed", { a: 1 }, {}, { a: 3 }, [["a"]]],
    ["they take away what mine changed", { a: 1 }, { a: 2 }, {}, [["a"]]],
    ["an item's field", [{ a: 1 }], [{ a: 2 }], [{ a: 3 }], [[0, "a"]]],
    ["an item that mine takes away", [{ a: 1 }], [], [{ a: 3 }], [[0]]],
    ["an item that they took away", [{ a: 1 }], [{ a: 2 }], [], [[]]],
    ["another kind of value", { a: 1 }, { a: [1] }, { a: { b: 1 } }, [["a"]]],
  ])("%s", (_, base, mine, theirs, conflicts) => {
    expect(mergeThreeWay(base, mine, theirs).conflicts).toEqual(conflicts);
  });

  test("two insertions at one place, where order means something", () => {
    const sides = [["a"], ["a", "m"], ["a", "t"]] as const;
    expect(mergeThreeWay(...sides)).toEqual({ value: ["a", "m", "t"], conflicts: [] });
    expect(mergeThreeWay(...sides, ordered).conflicts).toHaveLength(1);
  });
});

test("for random values: undoing right after changes nothing but that, and merging with nothing changes nothing", () => {
  const value = fc.object({ maxDepth: 3, values: [fc.constantFrom(1, 2, "a", true)] });
  fc.assert(
    fc.property(value, value, (before, after) => {
      expect(mergeThreeWay(after, before, after)).toEqual({ value: before, conflicts: [] });
      expect(mergeThreeWay(after, after, before)).toEqual({ value: before, conflicts: [] });
    }),
  );
});
