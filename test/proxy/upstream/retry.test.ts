import { describe, expect, test } from "bun:test";
import { RETRY_CONDITIONS } from "../../../src/policy/schema.ts";
import { type AttemptOutcome, backoffMs, isRetriable, retryAfterMs } from "../../../src/proxy/upstream/retry.ts";
import { RetryBudget } from "../../../src/proxy/upstream/retry-budget.ts";

/** Envoy's table: outcome by outcome, the conditions that cover it. */
const TABLE: readonly [outcome: AttemptOutcome, conditions: readonly (typeof RETRY_CONDITIONS)[number][]][] = [
  [{ kind: "status", status: 200 }, []],
  [{ kind: "status", status: 404 }, []],
  [{ kind: "status", status: 409 }, ["retriable-4xx"]],
  [{ kind: "status", status: 429 }, ["retriable-status-codes"]],
  [{ kind: "status", status: 200, grpcStatus: 0 }, []],
  [{ kind: "status", status: 200, grpcStatus: 1 }, ["cancelled"]],
  [{ kind: "status", status: 200, grpcStatus: 4 }, ["deadline-exceeded"]],
  [{ kind: "status", status: 200, grpcStatus: 5 }, []],
  [{ kind: "status", status: 200, grpcStatus: 8 }, ["resource-exhausted"]],
  [{ kind: "status", status: 200, grpcStatus: 13 }, ["internal"]],
  [{ kind: "status", status: 200, grpcStatus: 14 }, ["unavailable"]],
  [{ kind: "status", status: 500 }, ["5xx"]],
  [{ kind: "status", status: 501 }, ["5xx"]],
  [{ kind: "status", status: 502 }, ["5xx", "gateway-error"]],
  [{ kind: "status", status: 503 }, ["5xx", "gateway-error"]],
  [{ kind: "status", status: 504 }, ["5xx", "gateway-error"]],
  [{ kind: "status", status: 505 }, ["5xx"]],
  [{ kind: "connect-failure" }, ["5xx", "gateway-error", "connect-failure"]],
  [{ kind: "refused" }, ["5xx", "gateway-error", "refused-stream"]],
  [{ kind: "reset" }, ["5xx", "gateway-error", "reset"]],
  [{ kind: "timeout" }, ["5xx", "gateway-error", "reset"]],
];

describe("what is retried", () => {
  for (const [outcome, conditions] of TABLE) {
    test(JSON.stringify(outcome), () => {
      expect(
        RETRY_CONDITIONS.filter((condition) => isRetriable(outcome, { on: [condition], statusCodes: [429] })).sort(),
      ).toEqual([...conditions].sort());
      expect(isRetriable(outcome, { on: [] })).toBe(false);
    });
  }
});

test("backoff doubles from 25 ms to 250 ms, with full jitter", () => {
  const longest = [1, 2, 3, 4, 5, 6, 10].map((retry) => backoffMs(retry, () => 1));
  expect(longest).toEqual([25, 50, 100, 200, 250, 250, 250]);
  expect(backoffMs(3, () => 0)).toBe(0);
  expect(backoffMs(3, () => 0.5)).toBe(50);
});

test("backoff follows the rule where it says otherwise", () => {
  const longest = [1, 2, 3, 4].map((retry) => backoffMs(retry, () => 1, { baseMs: 10, maxMs: 35 }));
  expect(longest).toEqual([10, 20, 35, 35]);
});

test("Retry-After is seconds or a date; what is beyond patience is not waited for, and nonsense asks for nothing", () => {
  const now = Date.parse("Sun, 06 Nov 1994 08:49:35 GMT");
  const waits = (value: string): number | undefined => retryAfterMs(["retry-after", value], () => now);
  expect(retryAfterMs(["server", "x"], () => now)).toBe(0);
  expect(["0", "2", "5", "6", "999999999"].map(waits)).toEqual([0, 2_000, 5_000, undefined, undefined]);
  expect([2_000, 1_999].map((leftMs) => retryAfterMs(["retry-after", "2"], () => now, leftMs))).toEqual([
    2_000,
    undefined,
  ]);
  expect(waits("Sun, 06 Nov 1994 08:49:37 GMT")).toBe(2_000);
  expect(waits("Sun, 06 Nov 1994 08:49:30 GMT")).toBe(0);
  expect(waits("Sun, 06 Nov 1994 09:49:37 GMT")).toBeUndefined();
  expect(["soon", "-1", "1e3", ""].map(waits)).toEqual([0, 0, 0, 0]);
});

describe("the budget", () => {
  const TWENTY = { percent: 20, minPerSecond: 0 };
  const retriesAllowed = (budget: RetryBudget, limits: typeof TWENTY, nowMs: number): number => {
    let count = 0;
    while (count < 1_000 && budget.tryRetry(limits, nowMs)) count++;
    return count;
  };

  test("is a share of the requests", () => {
    const budget = new RetryBudget(0);
    for (let count = 0; count < 100; count++) budget.request(10);
    expect(retriesAllowed(budget, TWENTY, 20)).toBe(20);
    budget.request(30);
    expect(budget.tryRetry(TWENTY, 30)).toBe(false);
    for (let count = 0; count < 5; count++) budget.request(30);
    expect(retriesAllowed(budget, TWENTY, 30)).toBe(1);
  });

  test("lets a quiet service retry a little all the same", () => {
    expect(retriesAllowed(new RetryBudget(0), { percent: 0, minPerSecond: 3 }, 0)).toBe(30);
    expect(retriesAllowed(new RetryBudget(0), { percent: 0, minPerSecond: 0 }, 0)).toBe(0);
  });

  test("forgets requests and retries after ten seconds, a second at a time", () => {
    const budget = new RetryBudget(0);
    for (let count = 0; count < 100; count++) budget.request(500);
    expect(retriesAllowed(budget, TWENTY, 9_999)).toBe(20);
    expect(retriesAllowed(budget, TWENTY, 10_500)).toBe(0);
    for (let count = 0; count < 100; count++) budget.request(15_000);
    // The twenty retries of second 9 still count, the hundred requests of second 0 no longer earn any.
    expect(retriesAllowed(budget, TWENTY, 15_000)).toBe(0);
    expect(retriesAllowed(budget, TWENTY, 20_000)).toBe(20);
    expect(retriesAllowed(budget, TWENTY, 60_000)).toBe(0);
  });
});
