import { expect, test } from "bun:test";
import { Chain } from "../../support/chain.ts";

const RETRIES = "retries: { attempts: 2, on: [5xx], backoff: { base: 1ms, max: 1ms }";

/** web → a → b → c → d, where d fails: each of four hops tries three times. */
async function arrivalsAtLast(budget: string, passesOn: readonly string[], requests: number): Promise<number> {
  const chain = await Chain.start({
    services: ["a", "b", "c", "d"],
    rule: `{ ${RETRIES}${budget} } }`,
    last: () => new Response("no", { status: 503 }),
    passesOn,
  });
  try {
    for (let n = 0; n < requests; n++) expect((await chain.call("/")).status).toBe(503);
    return chain.at("d").length;
  } finally {
    await chain.stop();
  }
}

const UNBOUNDED = ", budget: { percent: 100, minPerSecond: 1000000 }";

test("a failure at the end of a chain is repeated by one hop at a time, not by all of them by each other", async () => {
  // Nothing joins the hops where an application passes on no id: 3^4 attempts.
  expect(await arrivalsAtLast(UNBOUNDED, [], 1)).toBe(81);
  // A repetition is marked, and is not repeated by those behind: each of four hops adds its two.
  expect(await arrivalsAtLast(UNBOUNDED, ["x-request-id"], 1)).toBe(9);
});

test("the budget bounds what is left: a fifth more at each hop", async () => {
  const arrived = await arrivalsAtLast(", budget: { percent: 20, minPerSecond: 0 }", ["x-request-id"], 60);
  expect(arrived).toBeGreaterThan(60);
  expect(arrived).toBeLessThanOrEqual(60 * (1 + 4 * 0.2));
});
