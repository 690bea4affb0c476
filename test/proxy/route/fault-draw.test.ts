/** Who meets which failure: shares within binomial bounds, delays by percentile. */

import { describe, expect, test } from "bun:test";
import type { SnapshotFault } from "../../../src/projections/snapshot.ts";
import { drawFault } from "../../../src/proxy/route/fault-draw.ts";
import { seededRandom } from "../../support/random.ts";

const DRAWS = 10_000;

function draws(fault: SnapshotFault) {
  const random = seededRandom(20_261);
  return Array.from({ length: DRAWS }, () => drawFault(fault, random));
}

describe("shares", () => {
  for (const percent of [0, 1, 10, 25, 100]) {
    test(`${percent}% of ${DRAWS} requests, within five standard deviations`, () => {
      const drawn = draws({ delay: { fixedMs: 5, percent }, abort: { status: 503, percent } });
      const deviation = Math.sqrt((DRAWS * percent * (100 - percent)) / 10_000);
      for (const met of [
        drawn.filter((fault) => fault?.delayMs === 5).length,
        drawn.filter((fault) => fault?.abort !== undefined).length,
      ]) {
        expect(Math.abs(met - (DRAWS * percent) / 100)).toBeLessThanOrEqual(5 * deviation);
      }
    });
  }

  test("are drawn each on its own", () => {
    const drawn = draws({
      delay: { fixedMs: 5, percent: 50 },
      abort: { reset: true, percent: 50 },
      bandwidth: { bytesPerSecond: 1, percent: 50 },
    });
    const kinds = new Set(
      drawn.map((fault) => [fault?.delayMs, fault?.abort, fault?.bandwidth].map((kind) => kind !== undefined).join()),
    );
    expect(kinds.size).toBe(8);
  });
});

describe("percentiles", () => {
  const percentiles = [
    { percentile: 50, ms: 10 },
    { percentile: 99, ms: 500 },
  ];

  test("hold as they are named, and nothing waits longer than the last", () => {
    const delays = draws({ delay: { percentiles, percent: 100 } })
      .map((fault) => fault?.delayMs ?? -1)
      .sort((a, b) => a - b);
    const deviation = 5 * Math.sqrt(DRAWS * 0.25);
    const withinTen = delays.filter((ms) => ms <= 10).length;
    expect(Math.abs(withinTen - DRAWS / 2)).toBeLessThan(deviation);
    const longest = delays.filter((ms) => ms === 500).length;
    expect(Math.abs(longest - DRAWS / 100)).toBeLessThan(5 * Math.sqrt(DRAWS * 0.01 * 0.99));
    expect(delays[0]).toBeGreaterThanOrEqual(0);
    expect(delays.at(-1)).toBe(500);
    // Between two that are named, in proportion: half-way from the 50th to the 99th.
    expect(Math.abs((delays[7450] ?? 0) - 255)).toBeLessThan(20);
  });
});
