import { describe, expect, test } from "bun:test";
import { escapeUnsafe, safeLine, safeText } from "../../src/cli/output/safe-text.ts";

const TRICKS = [
  "\u0000",
  "\u0007",
  "\n",
  "\r",
  "\u001b",
  "\u007f",
  "\u009b",
  "\u200e",
  "\u202e",
  "\u2028",
  "\u{e0001}",
];

describe("text that somebody else wrote", () => {
  test.each(TRICKS)("does not reach the terminal with %j", (trick) => {
    expect(safeText(`a${trick}b`)).toBe("a\uFFFDb");
  });

  test("is otherwise left alone, and cut where there is no room", () => {
    expect(safeText("größer → 世界")).toBe("größer → 世界");
    expect(safeLine("abcdef", 6)).toBe("abcdef");
    expect(safeLine("abcdefg", 6)).toBe("abcde…");
  });

  test.each(TRICKS)("is the same JSON with %j escaped", (trick) => {
    const value = { [`k${trick}`]: [`v${trick}`] };
    const text = escapeUnsafe(JSON.stringify(value));
    expect(text).toMatch(/^[\x20-\x7e]+$/);
    expect(JSON.parse(text)).toEqual(value);
  });
});
