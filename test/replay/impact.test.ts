import { expect, test } from "bun:test";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { ChangeImpact } from "../../src/replay/impact.ts";
import type { TrafficCall, TrafficSummary } from "../../src/telemetry/traffic-summary.ts";
import { changeAfter } from "../events/scenario.ts";

const MINUTE_MS = 60_000;
const CHANGE = changeAfter(INITIAL_STATE, "shop", [
  { type: "RateLimitRemoved", namespace: "shop", name: "api", from: { service: "api", rules: [] } },
]);
const CHANGED_MS = Date.parse(CHANGE.change.time);

function summary(sequence: number, offsetMinutes: number, fields: Partial<TrafficCall> = {}): TrafficSummary {
  const fromMs = CHANGED_MS + offsetMinutes * MINUTE_MS;
  const edge = { source: "shop/web", destination: "shop/api", method: "GET", path: "/" } as const;
  const call: TrafficCall = { ...edge, decision: "allowed", count: 600, errors: 0, latency: [20, 600], ...fields };
  const times = { fromMs, toMs: fromMs + MINUTE_MS };
  return { schema: 1, instance: "a", epoch: 1, sequence, ...times, droppedCalls: 0, calls: [call] };
}

function impactOf(...summaries: TrafficSummary[]) {
  const impact = new ChangeImpact(CHANGE, 10 * MINUTE_MS);
  for (const one of summaries) impact.add({ subject: "s", summary: one });
  return impact.impacts(CHANGED_MS + 10 * MINUTE_MS);
}

test("signals of the services of a change stand side by side, and nothing is flagged that did not rise", () => {
  const [impact, ...others] = impactOf(summary(1, -2), summary(2, 1), summary(3, 2, { destination: "shop/other" }));
  expect(others).toEqual([]);
  expect(impact).toMatchObject({ service: "shop/api", before: { calls: 600, perSecond: 1 }, worse: [] });
  expect(impact?.after.calls).toBe(600);
});

test("errors, refusals and latency that rose are named", () => {
  const flagged = (fields: Partial<TrafficCall>) => impactOf(summary(1, -2), summary(2, 1, fields))[0]?.worse;
  expect(flagged({ errors: 30 })).toEqual(["errors"]);
  expect(flagged({ decision: "limited" })).toEqual(["refusals"]);
  expect(flagged({ latency: [20, 500, 30, 100] })).toEqual(["latency"]);
  // Within what chance does.
  expect(flagged({ errors: 3 })).toEqual([]);
  expect(flagged({ count: 10, errors: 10 })).toEqual([]);
});

test("a few slow calls among few are no rise of latency, though they make the 99th percentile", () => {
  const few = { count: 60, latency: [20, 60] };
  const afterwards = (latency: number[]) => impactOf(summary(1, -2, few), summary(2, 1, { count: 60, latency }))[0];
  const chance = afterwards([20, 58, 30, 2]);
  expect(chance?.after.p99Ms).toBeGreaterThan(1.4 * (chance?.before.p99Ms ?? 0));
  expect(chance?.worse).toEqual([]);
  expect(afterwards([20, 45, 30, 15])?.worse).toEqual(["latency"]);
});

test("what lies outside the windows, or was stored twice, does not count", () => {
  const [impact] = impactOf(summary(1, -30), summary(2, -2), summary(2, -2), summary(3, 30));
  expect(impact?.before.calls).toBe(600);
  expect(impact?.after.calls).toBe(0);
});
