import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { canonicalJson } from "../../src/policy/canonical.ts";

describe("canonicalJson", () => {
  test.each([
    [{ b: 1, a: [true, null, "x"] }, '{"a":[true,null,"x"],"b":1}'],
    [{ a: undefined, b: { d: 1, c: undefined } }, '{"b":{"d":1}}'],
    // RFC 8785 §3.2.3: members sort by UTF-16 code units, so the astral plane comes before U+FB33.
    [
      { "\u{fb33}": 1, "\u{1f600}": 2, "\u00f6": 3, "1": 4, "\r": 5 },
      '{"\\r":5,"1":4,"\u00f6":3,"\u{1f600}":2,"\u{fb33}":1}',
    ],
    [[1e21, 0.1, -0, 4.5e-7], "[1e+21,0.1,0,4.5e-7]"],
    [JSON.parse('{"__proto__":{"x":1},"constructor":2}'), '{"__proto__":{"x":1},"constructor":2}'],
    ['a "quoted"\n', '"a \\"quoted\\"\\n"'],
  ])("%j", (value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });

  test.each([
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [1n],
    [undefined],
    [new Map()],
    [new Date(0)],
    [[undefined]],
    [() => 1],
  ])("refuses what would lose its meaning: %p", (value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError);
  });

  test("does not depend on the order of members, and can be read back", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const reversed = Object.fromEntries(Object.entries(value).reverse());
        const text = canonicalJson(value);
        expect(canonicalJson(reversed)).toBe(text);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });
});
