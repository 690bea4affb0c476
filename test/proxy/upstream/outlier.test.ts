import { expect, test } from "bun:test";
import {
  eject,
  isAvoided,
  isEjected,
  maySpare,
  newOutlierMemory,
  noteReachability,
  observe,
} from "../../../src/proxy/upstream/outlier.ts";

const config = { consecutive5xx: 3, intervalMs: 10_000, baseEjectionTimeMs: 30_000, maxEjectionPercent: 50 };

test("failures in a row eject; a success in between begins anew", () => {
  const memory = newOutlierMemory();
  const outcomes = [true, true, false, true, true, true].map((failed) => observe(memory, failed, config, 0));
  expect(outcomes).toEqual([false, false, false, false, false, true]);
});

test("each ejection lasts one base time longer, and calm intervals are forgiven", () => {
  const memory = newOutlierMemory();
  eject(memory, config, 0);
  expect([isEjected(memory, 29_999), isEjected(memory, 30_000)]).toEqual([true, false]);
  eject(memory, config, 31_000);
  expect([isEjected(memory, 90_999), isEjected(memory, 91_000)]).toEqual([true, false]);
  eject(memory, config, 91_000 + 25_000);
  expect(isEjected(memory, 91_000 + 25_000 + 29_999)).toBe(true);
  expect(isEjected(memory, 91_000 + 25_000 + 30_000)).toBe(false);
});

test("one may always be out, never the last, and no more than the share", () => {
  const spare = [
    [1, 0],
    [2, 0],
    [2, 1],
    [10, 0],
    [10, 4],
    [10, 5],
  ].map(([total = 0, ejected = 0]) => maySpare(total, ejected, config));
  expect(spare).toEqual([false, true, false, true, true, false]);
});

test("an endpoint that takes no connection is avoided for a while, longer each time, and at once no more when it does", () => {
  const memory = newOutlierMemory();
  noteReachability(memory, false, 0);
  noteReachability(memory, false, 10);
  expect([isAvoided(memory, 499), isAvoided(memory, 500)]).toEqual([true, false]);
  noteReachability(memory, false, 500);
  expect([isAvoided(memory, 1_499), isAvoided(memory, 1_500)]).toEqual([true, false]);
  noteReachability(memory, false, 1_500);
  noteReachability(memory, true, 1_600);
  expect(isAvoided(memory, 1_600)).toBe(false);
});
