/** Attempts of one delivery, without a network: how long they wait, and what ends them. */

import { expect, test } from "bun:test";
import { type DeliveryOutcome, deliver, type WebhookTarget } from "../../src/telemetry/webhook.ts";

const NOW_MS = Date.parse("2026-03-01T12:00:00Z");

/** Delivers to a receiver that answers so, one answer after the other; `undefined` is no answer at all. */
async function delivering(
  answers: readonly (ResponseInit | undefined)[],
): Promise<{ outcome: DeliveryOutcome; waits: number[]; inits: RequestInit[] }> {
  const waits: number[] = [];
  const inits: RequestInit[] = [];
  const target: WebhookTarget = {
    url: "https://siem.example.org/",
    secret: undefined,
    fetch: async (_url, init) => {
      const answer = answers[Math.min(inits.push(init) - 1, answers.length - 1)];
      if (answer === undefined) throw new Error("nobody listens");
      return new Response(null, answer);
    },
    now: () => NOW_MS,
    pause: async (delayMs) => void waits.push(delayMs),
    stopped: () => false,
  };
  return { outcome: await deliver({ id: "1", body: "{}", contentType: "application/json" }, target), waits, inits };
}

test("waits twice as long each time, up to two minutes, and gives up after twelve attempts", async () => {
  const { outcome, waits, inits } = await delivering([undefined]);
  expect(outcome).toEqual({ kind: "refused", reason: "nobody listens" });
  expect(inits).toHaveLength(12);
  expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 120_000, 120_000, 120_000]);
});

test.each([
  ["7", 7_000],
  ["Sun, 01 Mar 2026 12:00:30 GMT", 30_000],
  // Longer than anything waits here: whoever wants to be left alone for an hour is asked again before.
  ["3600", 120_000],
  ["0", 500],
  ["soon", 500],
  ["Sun, 01 Mar 2026 11:00:00 GMT", 500],
])("heeds Retry-After: %s", async (retryAfter, waitMs) => {
  const { outcome, waits } = await delivering([
    { status: 429, headers: { "retry-after": retryAfter } },
    { status: 204 },
  ]);
  expect(outcome).toEqual({ kind: "delivered" });
  expect(waits).toEqual([waitMs]);
});

test("no redirect is followed, and what the receiver refuses is not sent again", async () => {
  const { outcome, inits } = await delivering([
    { status: 302, headers: { location: "https://elsewhere.example.org/" } },
  ]);
  expect(outcome).toEqual({ kind: "refused", reason: "answered 302" });
  expect(inits.map(({ redirect }) => redirect)).toEqual(["manual"]);
});

test("a receiver that is gone is told from one that refuses", async () => {
  expect((await delivering([{ status: 503 }, { status: 410 }])).outcome).toEqual({ kind: "gone" });
});
