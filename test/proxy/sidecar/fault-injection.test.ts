/** Failures on purpose that take their time: slow bodies, late aborts, delays by percentile; over real hops. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { openToWeb, routeDocument } from "../../support/policy.ts";
import { TwoHops } from "../../support/two-hops.ts";

const POLICY = `
---
${openToWeb("catalog")}${routeDocument(
  "catalog",
  `
- match: [{ path: { exact: /echo } }]
  fault: { bandwidth: { bytesPerSecond: 100000, direction: response } }
- match: [{ path: { exact: /digest } }]
  fault: { bandwidth: { bytesPerSecond: 100000, direction: request } }
- match: [{ path: { exact: /spared } }]
  fault: { bandwidth: { bytesPerSecond: 1, percent: 0 } }
- match: [{ path: { exact: /late-abort } }]
  fault: { delay: { fixed: 300ms }, abort: { status: 418 } }
- match: [{ path: { exact: /late-reset } }]
  fault: { delay: { fixed: 300ms }, abort: { reset: true } }
- match: [{ path: { exact: /percentiles } }]
  fault: { delay: { percentiles: { p0.01: 300ms, p100: 310ms } } }
- {}
`,
)}`;

/** What 100,000 bytes a second need at least for a body, but for the slice that goes at once. */
const BODY = new Uint8Array(60_000).fill(65);
const LEAST_MS = 500;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
});
afterAll(() => hops.stop());

async function counted(kind: string): Promise<number> {
  const sample = new RegExp(`^heddle_faults_injected_total{[^}]*kind="${kind}"[^}]*} (\\d+)`, "m");
  return Number(sample.exec(await hops.metrics())?.[1] ?? 0);
}

async function timed(path: string, init: RequestInit = {}): Promise<{ ms: number; response: Response; text: string }> {
  const before = performance.now();
  const response = await hops.call(path, init);
  const text = await response.text();
  return { ms: performance.now() - before, response, text };
}

test("a request's body goes no faster than it is let, arrives whole, and is counted", async () => {
  const { ms, text } = await timed("/digest", { method: "POST", body: BODY });
  expect(JSON.parse(text)).toMatchObject({
    bytes: BODY.byteLength,
    sha256: createHash("sha256").update(BODY).digest("hex"),
  });
  expect(ms).toBeGreaterThanOrEqual(LEAST_MS);
  expect(await counted("bandwidth")).toBe(1);
});

test("so does a response's, to its end; none that the draw spares", async () => {
  const { ms, text } = await timed("/echo", { method: "POST", body: BODY });
  expect(text).toBe("A".repeat(BODY.byteLength));
  expect(ms).toBeGreaterThanOrEqual(LEAST_MS);
  // Otherwise the line would have been written before the caller had the whole response.
  expect((await hops.line("/echo")).duration).toBeGreaterThanOrEqual(LEAST_MS);
  // At a byte a second it would take most of a day.
  expect((await timed("/spared", { method: "POST", body: BODY })).response.status).toBe(200);
});

test("where delay and abort are both drawn, the failure comes late", async () => {
  const { ms, response } = await timed("/late-abort", { method: "POST", body: BODY });
  expect(response.status).toBe(418);
  expect(ms).toBeGreaterThanOrEqual(290);
  expect((await hops.line("/late-abort")).response_flags).toBe("FI,DI");
  expect(timed("/late-reset")).rejects.toThrow();
  expect((await hops.line("/late-reset")).response_flags).toBe("FI,DI");
});

test("a caller that leaves before a late failure is let go", async () => {
  const gone = new AbortController();
  const call = hops.call("/late-abort", { method: "PUT", signal: gone.signal });
  gone.abort();
  expect(call).rejects.toThrow();
  expect((await timed("/other")).response.status).toBe(200);
});

test("delays follow their percentiles", async () => {
  const { ms, response } = await timed("/percentiles");
  expect(response.status).toBe(200);
  expect(ms).toBeGreaterThanOrEqual(290);
  expect((await hops.line("/percentiles")).response_flags).toBe("DI");
});
