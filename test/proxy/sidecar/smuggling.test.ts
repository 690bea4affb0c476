/**
 * Requests that two readings could take for two: whatever the caller's sidecar makes of them, the application behind
 * the second hop never sees the one that is hidden inside. Two applications, since it is they who might read otherwise.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { needs } from "../../clients/tool.ts";
import { eventually } from "../../support/mesh.ts";
import { startNginxApp } from "../../support/nginx-app.ts";
import { TwoHops } from "../../support/two-hops.ts";
import { type Attempt, attempts } from "./smuggling-requests.ts";

/** Connections that are open at once. */
const AT_ONCE = 32;

const SHELF = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: shelf }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: shelf }
spec: { service: shelf, rules: [{ allow: { from: [shop/web] } }] }
`;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

test("the literature is all there", () => {
  expect(attempts.length).toBeGreaterThan(500);
  expect(new Set(attempts.map(({ name }) => name)).size).toBe(attempts.length);
});

test("a hidden request would be seen, were it sent: the test can fail", async () => {
  const client = await hops.connect();
  client.send("GET /hidden HTTP/1.1\r\nhost: catalog\r\n\r\n");
  await client.until('"url":"/hidden"');
  client.close();
  expect((await hops.app.seen()).seen).toContain("GET /hidden");
});

test("none becomes two for Node", async () => {
  await nothingHidden("catalog", () => hops.app.seen());
}, 120_000);

const [title, missing] = needs("nginx", "with nginx behind the second hop");
describe.skipIf(missing)(title, () => {
  test("none becomes two for nginx", async () => {
    const nginx = await startNginxApp();
    try {
      await hops.mesh.apply(SHELF);
      await hops.mesh.startSidecar({ service: "shop/shelf", appPort: nginx.port });
      await eventually(async () => expect((await hops.call("/ready", {}, "shelf")).status).toBe(200));
      await nothingHidden("shelf", () => nginx.seen());
    } finally {
      await nginx.kill();
    }
  }, 120_000);
});

async function nothingHidden(host: string, applicationSaw: () => Promise<{ seen: string[] }>): Promise<void> {
  const answers: string[] = [];
  for (let at = 0; at < attempts.length; at += AT_ONCE) {
    const some = attempts.slice(at, at + AT_ONCE);
    answers.push(...(await Promise.all(some.map((each, index) => attempt(each, host, at + index)))));
  }
  // Whatever was on its way has arrived: this one came later.
  expect((await hops.call("/sound", {}, host)).status).toBe(200);
  await eventually(async () => expect((await applicationSaw()).seen).toContain("GET /sound"));
  const { seen } = await applicationSaw();
  const wrong = attempts.filter((_, id) => {
    const outer = seen.filter((line) => new RegExp(`outer-${id}\\b`).test(line));
    return outer.length > 1 || seen.some((line) => new RegExp(`hidden-${id}\\b`).test(line) && !outer.includes(line));
  });
  expect(wrong.map(({ name }) => name)).toEqual([]);
  // Most are refused, and the sound ones among them arrive: neither all nor nothing is let through.
  const refused = answers.filter((text) => /HTTP\/1\.1 4\d\d/.test(text)).length;
  expect(refused).toBeGreaterThan(attempts.length / 3);
  expect(seen.filter((line) => line.includes("outer-")).length).toBeGreaterThan(20);
}

/** What came back: an answer, the end, or nothing where the request is incomplete and more is waited for. */
async function attempt({ bytes }: Attempt, host: string, id: number): Promise<string> {
  const client = await hops.connect();
  client.send(bytes(host, id));
  await client.until(/\r\n\r\n/, 300).catch(() => undefined);
  // What is hidden would be read after the answer.
  await client.untilEnded(60).catch(() => undefined);
  client.close();
  return client.text;
}
