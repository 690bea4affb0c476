import { describe, expect, test } from "bun:test";
import {
  eject,
  findOutliers,
  isAvoided,
  isEjected,
  maySpare,
  newOutlierMemory,
  noteReachability,
  type OutlierMemory,
  observe,
  outcomeOf,
} from "../../../src/proxy/upstream/outlier.ts";

const config = { consecutive5xx: 3, intervalMs: 10_000, baseEjectionTimeMs: 30_000, maxEjectionPercent: 50 };

test("failures in a row eject; a success in between begins anew", () => {
  const memory = newOutlierMemory();
  const outcomes = (
    ["server-error", "no-response", "success", "server-error", "unreachable", "gateway-error"] as const
  ).map((outcome) => observe(memory, outcome, config));
  expect(outcomes).toEqual([undefined, undefined, undefined, undefined, undefined, "consecutive_5xx"]);
});

test("each ejection lasts one base time longer, and calm intervals are forgiven", () => {
  const memory = newOutlierMemory();
  eject(memory, "consecutive_5xx", config, 0);
  expect([isEjected(memory, 29_999), isEjected(memory, 30_000)]).toEqual([true, false]);
  eject(memory, "consecutive_5xx", config, 31_000);
  expect([isEjected(memory, 90_999), isEjected(memory, 91_000)]).toEqual([true, false]);
  eject(memory, "consecutive_5xx", config, 91_000 + 25_000);
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

test("gateway errors and failures to get an answer have bounds of their own", () => {
  const gateway = { ...config, consecutive5xx: 100, consecutiveGatewayErrors: 2 };
  const first = newOutlierMemory();
  const some = (["gateway-error", "server-error", "gateway-error", "no-response"] as const).map((outcome) =>
    observe(first, outcome, gateway),
  );
  expect(some).toEqual([undefined, undefined, undefined, "consecutive_gateway_failure"]);
  const local = { ...config, consecutive5xx: 100, consecutiveLocalOriginFailures: 2 };
  const second = newOutlierMemory();
  const others = (["unreachable", "gateway-error", "unreachable", "no-response"] as const).map((outcome) =>
    observe(second, outcome, local),
  );
  expect(others).toEqual([undefined, undefined, undefined, "consecutive_local_origin_failure"]);
});

test("ejections grow no longer than the longest", () => {
  const memory = newOutlierMemory();
  for (let n = 0; n < 20; n++) eject(memory, "consecutive_5xx", { ...config, maxEjectionTimeMs: 70_000 }, 0);
  expect(memory.ejectedUntilMs).toBe(70_000);
});

test("what a response says, gRPC's statuses included", () => {
  expect([200, 404, 429, 500, 501, 502, 503, 504, 505].map((status) => outcomeOf(status, 0))).toEqual([
    "success",
    "success",
    "success",
    "server-error",
    "server-error",
    "gateway-error",
    "gateway-error",
    "gateway-error",
    "server-error",
  ]);
  expect([0, 2, 4, 5, 13, 14].map((status) => outcomeOf(200, status))).toEqual([
    "success",
    "server-error",
    "gateway-error",
    "success",
    "server-error",
    "gateway-error",
  ]);
});

describe("compared with the others", () => {
  const counted = (requests: number, successes: number): OutlierMemory => ({
    ...newOutlierMemory(),
    requests,
    successes,
  });
  const found = (memories: readonly OutlierMemory[], more: Partial<Parameters<typeof findOutliers>[1]>) =>
    findOutliers(memories, { ...config, ...more }).map(([memory, reason]) => [memories.indexOf(memory), reason]);

  test("whoever succeeds clearly less often is an outlier", () => {
    const successRate = { stdevFactor: 1.9, minimumHosts: 5, requestVolume: 100 };
    const ten = (): OutlierMemory[] => [...Array.from({ length: 9 }, () => counted(100, 99)), counted(100, 60)];
    expect(found(ten(), { successRate })).toEqual([[9, "success_rate"]]);
    expect(found(ten(), { successRate: { ...successRate, minimumHosts: 11 } })).toEqual([]);
    expect(found(ten(), { successRate: { ...successRate, requestVolume: 101 } })).toEqual([]);
    const alike = Array.from({ length: 10 }, () => counted(100, 50));
    expect(found(alike, { successRate })).toEqual([]);
  });

  test("whoever fails too large a share is one, and counting begins anew", () => {
    const failurePercentage = { threshold: 50, minimumHosts: 3, requestVolume: 10 };
    const memories = [counted(10, 10), counted(10, 6), counted(10, 5), counted(9, 0)];
    expect(found(memories, { failurePercentage })).toEqual([[2, "failure_percentage"]]);
    expect(memories.map(({ requests }) => requests)).toEqual([0, 0, 0, 0]);
    expect(found(memories, { failurePercentage })).toEqual([]);
  });
});
