import { describe, expect, test } from "bun:test";
import { formatRelative, parseMoment } from "../../src/cli/input/moment.ts";

const NOW = Date.UTC(2026, 2, 1, 12);

describe("a moment as it is typed", () => {
  test.each([
    ["41", { kind: "revision", revision: 41 }],
    ["0", { kind: "revision", revision: 0 }],
    ["1h", { kind: "time", timeMs: NOW - 3_600_000 }],
    ["1h30m", { kind: "time", timeMs: NOW - 5_400_000 }],
    ["2d", { kind: "time", timeMs: NOW - 2 * 86_400_000 }],
    ["1d12h", { kind: "time", timeMs: NOW - 36 * 3_600_000 }],
    ["2026-03-01", { kind: "time", timeMs: Date.UTC(2026, 2, 1) }],
    ["2026-03-01T12:00:00Z", { kind: "time", timeMs: NOW }],
    ["2026-03-01 13:00:00+01:00", { kind: "time", timeMs: NOW }],
    ["2026-03-01t12:00z", { kind: "time", timeMs: NOW }],
  ])("%s", (text, moment) => {
    expect(parseMoment(text, NOW)).toEqual({ ok: true, value: moment as never });
  });

  test.each(
    ["", "yesterday", "1", "-1h", "2026-13-01", "2026-03-01T12:00:00", "1x", "d", "1d1", "2026"].filter(
      (text) => !/^\d+$/.test(text),
    ),
  )("%p is none", (text) => {
    expect(parseMoment(text, NOW).ok).toBe(false);
  });

  test.each(["2026-03-01T12:00:00", "2026-03-01 12:00"])("%p lacks a time zone, and is told so", (text) => {
    expect(parseMoment(text, NOW)).toMatchObject({
      ok: false,
      error: expect.stringContaining("must say its time zone"),
    });
  });
});

describe("a distance in time as it is shown", () => {
  test.each([
    [0, "now"],
    [-999, "now"],
    [-1_000, "1s ago"],
    [-59_999, "59s ago"],
    [-60_000, "1m ago"],
    [-3_599_999, "59m ago"],
    [-3_600_000, "1h ago"],
    [-47 * 3_600_000, "47h ago"],
    [-48 * 3_600_000, "2d ago"],
    [20 * 3_600_000, "in 20h"],
  ])("%p ms: %s", (distanceMs, text) => {
    expect(formatRelative(NOW + distanceMs, NOW)).toBe(text);
  });
});
