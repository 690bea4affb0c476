import { describe, expect, test } from "bun:test";
import { ProgressLine, withProgress } from "../../src/cli/output/progress.ts";

/** A stream that keeps what was written, and a clock that is set by hand. */
function terminal(isTTY: boolean) {
  const written: string[] = [];
  const clock = { nowMs: 0 };
  const stream = { isTTY, write: (text: string) => written.push(text) };
  return { written, clock, line: new ProgressLine(stream, () => clock.nowMs) };
}

describe("a line of progress", () => {
  test("is there only where somebody has waited, is written over, and goes away", () => {
    const { written, clock, line } = terminal(true);
    for (const nowMs of [0, 999, 1_000, 1_100, 1_200]) {
      clock.nowMs = nowMs;
      line.at(() => `at ${nowMs}`);
    }
    line.clear();
    line.clear();
    expect(written).toEqual(["\r\u001b[Kat 1000", "\r\u001b[Kat 1200", "\r\u001b[K"]);
  });

  test("is not written where there is no terminal", () => {
    const { written, clock, line } = terminal(false);
    clock.nowMs = 60_000;
    line.at(() => "far");
    line.clear();
    expect(written).toEqual([]);
  });

  test("tells of items as they are taken, and is gone when the reader leaves", async () => {
    const { written, clock, line } = terminal(true);
    clock.nowMs = 5_000;
    for await (const item of withProgress([1, 2, 3], String, line)) if (item === 2) break;
    expect(written).toEqual(["\r\u001b[K1", "\r\u001b[K"]);
  });
});
