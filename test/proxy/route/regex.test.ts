/** Expressions of policy: what they match, what is refused, and that no text makes them slow. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseRegex } from "../../../src/policy/regex.ts";
import { compileRegex } from "../../../src/proxy/route/regex.ts";

describe("compileRegex", () => {
  test.each([
    ["/items/[0-9]+", "/items/42", true],
    ["/items/[0-9]+", "/items/42/x", false],
    ["^/items/\\d+$", "/items/42", true],
    ["/(?:a|bc)*/x", "/abcbca/x", true],
    ["/(a|bc)*/x", "/abb/x", false],
    ["(?i)/Caf[EF]", "/cAFe", true],
    ["a{2,3}", "a", false],
    ["a{2,3}", "aaa", true],
    ["a{2,3}", "aaaa", false],
    ["a{2,}", "aaaaaa", true],
    ["a{0}b", "b", true],
    ["[^/]+", "a/b", false],
    ["[]x]+", "]x]", true],
    ["[a-]+", "a-a", true],
    ["\\w+\\.\\w+", "index.html", true],
    ["\\w+\\.\\w+", "index_html", false],
    ["a\\$", "a$", true],
    ["a\\\\$", "a\\", true],
    ["\\x2fa", "/a", true],
    ["[\\W]+", "--", true],
    ["", "", true],
    ["a|", "", true],
    ["(a?)*b", "aab", true],
    [".+", "é😀", true],
  ])("%j on %j: %p", (pattern, text, expected) => {
    expect(compileRegex(pattern)(text)).toBe(expected);
  });

  const atom = fc.constantFrom("a", "b", "[ab]", "[^a]", ".", "\\w");
  const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { maxDepth: 4 },
      atom,
      fc.tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "{1,2}", "{2}")).map(([p, q]) => `(${p})${q}`),
      fc.tuple(tie("pattern"), tie("pattern")).map(([p, q]) => `${p}${q}`),
      fc.tuple(tie("pattern"), tie("pattern")).map(([p, q]) => `(?:${p}|${q})`),
    ),
  }));

  test("says the same as the language's own, which goes back", () => {
    const texts = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 }), { maxLength: 8 });
    fc.assert(
      fc.property(pattern, texts, (source, samples) => {
        fc.pre(parseRegex(source).ok);
        const ours = compileRegex(source);
        const theirs = new RegExp(`^(?:${source})$`, "s");
        for (const text of samples) expect([text, ours(text)]).toEqual([text, theirs.test(text)]);
      }),
      { numRuns: 500 },
    );
  });

  test("what takes others for ever is a walk over the text, also where every place is new", () => {
    const evil = "a".repeat(16_000);
    expect(compileRegex("(a+)+b")(evil)).toBe(false);
    expect(compileRegex("(a|aa)+b")(evil)).toBe(false);
    // More places than are remembered: each of 2^13 endings is one.
    const endings = compileRegex("(a|b)*a(a|b){12}");
    const letters = Array.from({ length: 16_000 }, (_, at) => ((at * at) % 7 < 3 ? "a" : "b")).join("");
    expect(endings(`${letters}a${"b".repeat(12)}`)).toBe(true);
    expect(endings(`${letters}${"b".repeat(13)}`)).toBe(false);
  });
});

describe("parseRegex", () => {
  test.each([
    ["(a", "a group is not closed"],
    ["a)", "it closes a group that is not open"],
    ["[a", "a class is not closed: `]` is missing"],
    ["*a", "there is nothing that `*` could repeat"],
    ["a**", "it repeats a repetition"],
    ["a{2,1}", "{2,1} is no repetition: from the smaller to the larger, at most 256"],
    ["a{x}", "`{` begins a repetition, such as {2} or {1,3}; write \\{ for itself"],
    ["a^b", "`^` may stand only at the beginning"],
    ["(a)\\1", "there is no \\1"],
    ["(?=a)", "of groups that begin with `(?` there is only (?:…), and (?i) in front of it all"],
    ["[z-a]", "a range goes from the smaller to the larger code"],
    ["(a{100}){100}", "it is too large: at most 256 steps"],
    ["€", "€ is outside of latin1: paths have it percent-encoded, and headers not at all"],
    ["\\", "there is no \\"],
  ])("%j is refused: %s", (pattern, message) => {
    expect(parseRegex(pattern)).toEqual({ ok: false, error: message });
  });

  test("depth and size are bounded, whatever is written", () => {
    expect(parseRegex("(".repeat(1000)).ok).toBe(false);
    expect(parseRegex("((a{200}){200}){200}").ok).toBe(false);
  });
});
