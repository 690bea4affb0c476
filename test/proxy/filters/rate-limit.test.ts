import { expect, test } from "bun:test";
import type { SnapshotRateLimit } from "../../../src/projections/snapshot.ts";
import { RateLimiter } from "../../../src/proxy/filters/rate-limit.ts";

const origin = { document: "shop/payment", rule: 0, revision: 7, actor: "alice" };
const request = { method: "POST", authority: "payment", headers: [] };

function rule(rest: Partial<SnapshotRateLimit> = {}): SnapshotRateLimit {
  return { match: [], requests: 3, perMs: 1000, burst: 2, bySource: false, origin, ...rest };
}

/** How many of `count` requests at `nowMs` get through. */
function passed(limiter: RateLimiter, count: number, nowMs: number, caller = "shop/web", path = "/charge"): number {
  let allowed = 0;
  for (let n = 0; n < count; n++) if (limiter.check(request, path, { caller: caller }, nowMs) === undefined) allowed++;
  return allowed;
}

test("a full bucket holds requests and burst; each interval brings the requests", () => {
  const limiter = new RateLimiter([rule()]);
  expect(passed(limiter, 10, 0)).toBe(5);
  expect(passed(limiter, 10, 999)).toBe(0);
  expect(passed(limiter, 10, 1000)).toBe(3);
  expect(passed(limiter, 10, 10_500)).toBe(5);
});

test("a refusal says which rule, how many, and when to come back", () => {
  const limiter = new RateLimiter([rule({ requests: 1, burst: 0 })]);
  passed(limiter, 1, 100);
  expect(limiter.check(request, "/charge", { caller: "shop/web" }, 300)).toEqual({
    origin,
    limit: 1,
    retryAfterMs: 800,
  });
});

test("by source, each caller has a bucket of its own; otherwise they share", () => {
  const own = new RateLimiter([rule({ bySource: true })]);
  expect([passed(own, 9, 0, "shop/web"), passed(own, 9, 0, "shop/orders")]).toEqual([5, 5]);
  const shared = new RateLimiter([rule()]);
  expect([passed(shared, 9, 0, "shop/web"), passed(shared, 9, 0, "shop/orders")]).toEqual([5, 0]);
});

test("only what matches is charged, and a refusal by one rule costs nothing in another", () => {
  const limiter = new RateLimiter([
    rule({ requests: 4, burst: 0 }),
    rule({ match: [{ path: { prefix: "/charge" } }], requests: 1, burst: 0 }),
  ]);
  expect(passed(limiter, 3, 0)).toBe(1);
  expect(passed(limiter, 9, 0, "shop/web", "/refund")).toBe(3);
});

test("buckets outlive a new snapshot where the rule is the same, and only there", () => {
  const first = new RateLimiter([rule()]);
  passed(first, 5, 0);
  const same = new RateLimiter([rule({ origin: { ...origin, revision: 8 } })], first);
  expect(passed(same, 9, 500)).toBe(0);
  const raised = new RateLimiter([rule({ requests: 10 })], same);
  expect(passed(raised, 99, 500)).toBe(12);
});

test("a limit that its document says twice holds once; that of another document by itself", () => {
  const same = [rule(), rule({ origin: { ...origin, rule: 1 } })];
  const twice = new RateLimiter(same);
  expect(passed(twice, 9, 0)).toBe(5);
  expect(passed(new RateLimiter(same, twice), 9, 10_000)).toBe(5);
  const both = new RateLimiter([rule(), rule({ origin: { ...origin, document: "shop/other" } })]);
  expect(passed(both, 9, 0)).toBe(5);
});
