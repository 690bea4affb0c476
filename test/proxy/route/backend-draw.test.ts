/** By chance, backends get their shares; by key, requests stay together, also when shares change. */

import { describe, expect, test } from "bun:test";
import { compileDraw } from "../../../src/proxy/route/backend-draw.ts";
import { seededRandom } from "../../support/random.ts";

function drawOf(weights: Readonly<Record<string, number>>) {
  const backends = Object.entries(weights).map(([name, weight]) => ({ name, weight, outcome: name }));
  return compileDraw(backends, "nowhere");
}

const CALLS = 10_000;

/** Four standard deviations of a binomial distribution. */
function bound(share: number): number {
  return 4 * Math.sqrt(CALLS * share * (1 - share));
}

describe("compileDraw", () => {
  test.each([
    [{ v1: 99, v2: 1 }, 0.01],
    [{ v1: 90, v2: 10 }, 0.1],
    [{ v1: 3, v2: 4 }, 4 / 7],
  ])("%j: the second gets %p of 10,000, by chance and by key", (weights, share) => {
    const draw = drawOf(weights);
    const random = seededRandom(7);
    let byChance = 0;
    let byKey = 0;
    for (let call = 0; call < CALLS; call++) {
      if (draw(random, undefined) === "v2") byChance++;
      if (draw(random, `user-${call}`) === "v2") byKey++;
    }
    expect(Math.abs(byChance - CALLS * share)).toBeLessThan(bound(share));
    expect(Math.abs(byKey - CALLS * share)).toBeLessThan(bound(share));
  });

  test("a shift moves the keys that it must, all of them the same way", () => {
    const [before, after] = [drawOf({ v1: 90, v2: 10 }), drawOf({ v1: 70, v2: 30 })];
    let moved = 0;
    for (let user = 0; user < CALLS; user++) {
      const [was, is] = [before(Math.random, `user-${user}`), after(Math.random, `user-${user}`)];
      if (was === is) continue;
      expect([was, is]).toEqual(["v1", "v2"]);
      moved++;
    }
    expect(Math.abs(moved - CALLS * 0.2)).toBeLessThan(bound(0.2));
  });

  test("weight 0 is never drawn, and nothing to draw is nowhere", () => {
    expect(drawOf({ v1: 0, v2: 1 })(() => 0, undefined)).toBe("v2");
    expect(drawOf({ v1: 0, v2: 1 })(() => 0, "key")).toBe("v2");
    expect(drawOf({ v1: 0 })(() => 0, "key")).toBe("nowhere");
  });
});
