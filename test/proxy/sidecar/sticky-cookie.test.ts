/** A cookie that the mesh issues itself: once, and whoever has it stays where they are, also when weights change. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { openToWeb, serviceDocument } from "../../support/policy.ts";
import { TwoHops } from "../../support/two-hops.ts";

const policy = (weight: number): string => `
---
${serviceDocument("next", "http")}${openToWeb("catalog")}${openToWeb("next")}apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - match: [{ path: { exact: /session } }]
      sticky: { cookie: group, issue: {} }
      backends: [{}, { service: next }]
    - sticky: { cookie: group, issue: { ttl: 1h, path: /shop, secure: true } }
      backends: [{ weight: ${100 - weight} }, { service: next, weight: ${weight} }]
`;

const USERS = 60;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: policy(50) });
  await hops.join("next", "next", 1);
});
afterAll(() => hops.stop());

interface Served {
  readonly instance: string;
  readonly cookies: readonly string[];
}

async function served(cookie?: string): Promise<Served> {
  const response = await hops.call("/any", { headers: cookie === undefined ? {} : { cookie: `a=b; group=${cookie}` } });
  const { instance } = (await response.json()) as { instance: string };
  return { instance, cookies: response.headers.getSetCookie() };
}

test("whoever has none gets one, and stays with it; a shift moves only towards what gained", async () => {
  const users = await Promise.all(
    Array.from({ length: USERS }, async () => {
      const { instance, cookies } = await served();
      expect(cookies).toHaveLength(1);
      const [, key = ""] =
        /^group=([0-9a-f]{16}); Path=\/shop; Max-Age=3600; HttpOnly; SameSite=Lax; Secure$/.exec(cookies[0] ?? "") ??
        [];
      expect(key).not.toBe("");
      return { instance, key };
    }),
  );
  expect(new Set(users.map(({ key }) => key)).size).toBe(USERS);
  expect(new Set(users.map(({ instance }) => instance))).toEqual(new Set(["v1", "next"]));
  for (const { instance, key } of users) expect(await served(key)).toEqual({ instance, cookies: [] });

  await hops.apply(policy(70));
  const after = await Promise.all(
    users.map(async ({ key, instance }) => ({ instance, now: (await served(key)).instance })),
  );
  // Nobody goes from what gained to what lost, and most stay.
  expect(after.filter(({ instance, now }) => instance === "next" && now !== "next")).toEqual([]);
  expect(after.filter(({ instance, now }) => instance === now).length).toBeGreaterThan(USERS / 2);
});

test("without a time it lasts as long as the browser's session", async () => {
  const response = await hops.call("/session");
  expect(response.headers.getSetCookie()).toEqual([
    expect.stringMatching(/^group=[0-9a-f]{16}; Path=\/; HttpOnly; SameSite=Lax$/),
  ]);
});
