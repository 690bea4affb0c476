/** Shares as they come about over real hops, and requests that a shift finds under way. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../../support/mesh.ts";
import { openToWeb } from "../../support/policy.ts";
import { type JoinedInstance, TwoHops } from "../../support/two-hops.ts";

const route = (weights: string): string => `
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - match: [{ path: { prefix: /canary } }]
      backends: [{ subset: v1, weight: 99 }, { subset: v2, weight: 1 }]
    - match: [{ path: { prefix: /tenth } }]
      backends: [{ subset: v1, weight: 90 }, { subset: v2, weight: 10 }]
    - backends: [${weights}]
`;

const ACCESS = `\n---\n${openToWeb("catalog")}`;

const CALLS = 10_000;
const WORKERS = 16;

let hops: TwoHops;
let v2: JoinedInstance;
beforeAll(async () => {
  const policy = ACCESS + route("{ subset: v1 }");
  hops = await TwoHops.start({ policy });
  v2 = await hops.join("catalog", "v2", 2);
});
afterAll(() => hops.stop());

async function instanceAt(path: string): Promise<string> {
  const response = await hops.call(path);
  return ((await response.json()) as { instance: string }).instance;
}

test.each([
  ["/canary", 0.01],
  ["/tenth", 0.1],
])(
  "of 10,000 calls of %s, v2 gets a share of %p within binomial bounds",
  async (path, share) => {
    let left = CALLS;
    let drawn = 0;
    const work = async (): Promise<void> => {
      while (left-- > 0) if ((await instanceAt(path)) === "v2") drawn++;
    };
    await Promise.all(Array.from({ length: WORKERS }, work));
    // Five standard deviations: one run in two million is outside.
    expect(Math.abs(drawn - CALLS * share)).toBeLessThan(5 * Math.sqrt(CALLS * share * (1 - share)));
  },
  120_000,
);

test("a request that a shift finds under way ends where it began; the next goes where policy says now", async () => {
  const response = hops.call("/slow?ms=1500&which=first");
  await eventually(async () => expect((await hops.app.seen()).seen).toContain("GET /slow?ms=1500&which=first"));
  await hops.mesh.apply(route("{ subset: v2 }"));
  await eventually(async () => expect(await instanceAt("/now")).toBe("v2"));
  expect(await (await response).text()).toBe("slow");
  expect((await v2.app.seen()).seen).not.toContain("GET /slow?ms=1500&which=first");
  expect((await hops.app.seen()).aborted).toEqual([]);
});
