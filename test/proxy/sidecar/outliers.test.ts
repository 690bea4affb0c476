/**
 * Outlier detection by every measure that policy knows, and its bounds. Intervals and ejections last minutes, which the
 * caller's clock is set ahead by: how fast the machine is decides nothing.
 */

import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { Fleet } from "../../support/fleet.ts";
import { eventually } from "../../support/mesh.ts";

const MINUTE_MS = 60_000;
const INTERVAL_MS = 60 * MINUTE_MS;
/** In turn, so that every instance is asked as often as the others; only what a test asks for ejects. */
const service = (outliers: string): { spec: string } => ({
  spec: `loadBalancer: { algorithm: round-robin }, outlierDetection: { interval: 1h, baseEjectionTime: 10m, ${outliers} },`,
});
const NEVER = "consecutive5xx: 100000, maxEjectionPercent: 100";
const MANY = "consecutive5xx: 2, maxEjectionPercent: 50";

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start({
    gateway: service(`${NEVER}, consecutiveGatewayErrors: 3`),
    local: {
      ...service(`${NEVER}, consecutiveLocalOriginFailures: 2`),
      rules: "{ retries: { attempts: 0, perTryTimeout: 500ms } }",
    },
    percentage: service(`${NEVER}, failurePercentage: { threshold: 60, minimumHosts: 3, requestVolume: 10 }`),
    rate: service(`${NEVER}, successRate: { stdevFactor: 1, minimumHosts: 3, requestVolume: 10 }`),
    many: service(MANY),
    given: service(MANY),
    growing: service("consecutive5xx: 2, maxEjectionTime: 25m, maxEjectionPercent: 50"),
  });
  await fleet.add("gateway", { "gateway-good": {}, "gateway-bad": {} });
  await fleet.add("local", { "local-good": {}, "local-bad": {} });
  await fleet.add("percentage", { "percentage-good": {}, "percentage-poor": {}, "percentage-bad": {} });
  await fleet.add("rate", { "rate-1": {}, "rate-2": {}, "rate-bad": {} });
  await fleet.add("many", { "many-1": {}, "many-2": {}, "many-3": {}, "many-4": {} });
  await fleet.add("given", { "given-good": {}, "given-bad": {} });
  await fleet.add("growing", { "growing-good": {}, "growing-bad": {} });
}, 30_000);
beforeEach(() => fleet.behaviour.clear());
afterAll(() => fleet.stop());

function answering(instance: string, status: number): void {
  fleet.behaviour.set(instance, () => new Response("", { status }));
}

/** Fails that many of each ten requests. */
function failing(instance: string, share: number): void {
  let asked = 0;
  fleet.behaviour.set(instance, () => new Response("", { status: asked++ % 10 < share ? 500 : 200 }));
}

/** Ends the interval, which is noticed with the next answer. */
async function endInterval(service: string): Promise<void> {
  fleet.aheadMs += INTERVAL_MS;
  await (await fleet.call(service)).text();
}

test("502, 503 and 504 in a row are gateway errors, 500 is none", async () => {
  answering("gateway-bad", 500);
  await fleet.asked("gateway", 20);
  expect(await fleet.avoided("gateway")).toEqual({});
  let asked = 0;
  fleet.behaviour.set("gateway-bad", () => new Response("", { status: 502 + (asked++ % 3) }));
  await fleet.asked("gateway", 6);
  expect(await fleet.avoided("gateway")).toEqual({ "gateway-bad": "consecutive_gateway_failure" });
  expect(await fleet.asked("gateway", 10)).toEqual({ "gateway-good": 10 });
});

test("no answer in time is a failure of local origin, an answer of 503 is none", async () => {
  answering("local-bad", 503);
  await fleet.asked("local", 10);
  expect(await fleet.avoided("local")).toEqual({});
  fleet.behaviour.set("local-bad", () => new Promise<Response>(() => {}));
  await eventually(async () => {
    await fleet.asked("local", 1);
    expect(await fleet.avoided("local")).toMatchObject({ "local-bad": "consecutive_local_origin_failure" });
  });
  const ejections = 'heddle_outlier_ejections_total{upstream="shop/local",reason="consecutive_local_origin_failure"}';
  expect(await fleet.metric(ejections)).toBeGreaterThanOrEqual(1);
});

test("whoever fails more than the percentage of an interval's requests is left out, whoever fails less is not", async () => {
  await endInterval("percentage");
  failing("percentage-poor", 5);
  failing("percentage-bad", 7);
  await fleet.asked("percentage", 60);
  expect(await fleet.avoided("percentage")).toEqual({});
  await endInterval("percentage");
  expect(await fleet.avoided("percentage")).toEqual({ "percentage-bad": "failure_percentage" });
  // Too few requests say nothing.
  fleet.aheadMs += INTERVAL_MS;
  await endInterval("percentage");
  failing("percentage-poor", 10);
  await fleet.asked("percentage", 15);
  await endInterval("percentage");
  expect(await fleet.avoided("percentage")).toEqual({});
});

test("whoever succeeds clearly less often than the others is left out, and nobody where all fail alike", async () => {
  await endInterval("rate");
  for (const instance of ["rate-1", "rate-2", "rate-bad"]) answering(instance, 500);
  await fleet.asked("rate", 60);
  await endInterval("rate");
  expect(await fleet.avoided("rate")).toEqual({});
  fleet.behaviour.clear();
  failing("rate-bad", 5);
  await fleet.asked("rate", 60);
  await endInterval("rate");
  expect(await fleet.avoided("rate")).toEqual({ "rate-bad": "success_rate" });
});

test("no more are left out than policy can spare, and in panic all are asked", async () => {
  for (const number of [1, 2, 3]) answering(`many-${number}`, 500);
  await fleet.asked("many", 40);
  expect(Object.values(await fleet.avoided("many"))).toEqual(["consecutive_5xx", "consecutive_5xx"]);
  expect(Object.keys(await fleet.asked("many", 20))).toHaveLength(2);
  // Half of them are well: fewer than six tenths.
  await fleet.redeclare("many", service(`${MANY}, panicThreshold: 60`));
  expect(Object.keys(await fleet.asked("many", 20))).toHaveLength(4);
  await fleet.redeclare("many", service(`${MANY}, panicThreshold: 50`));
  expect(Object.keys(await fleet.asked("many", 20))).toHaveLength(2);
});

test("each ejection lasts one base time longer than the one before, up to the longest", async () => {
  for (const minutes of [10, 20, 25, 25]) {
    answering("growing-bad", 500);
    await fleet.asked("growing", 4);
    fleet.behaviour.clear();
    fleet.aheadMs += (minutes - 2) * MINUTE_MS;
    expect(await fleet.asked("growing", 4)).toEqual({ "growing-good": 4 });
    fleet.aheadMs += 2 * MINUTE_MS;
    expect(await fleet.asked("growing", 4)).toEqual({ "growing-good": 2, "growing-bad": 2 });
  }
});

test("policy that asks for no outlier detection any more brings back at once whoever was out, another one does not", async () => {
  answering("given-bad", 500);
  await fleet.asked("given", 10);
  expect(await fleet.avoided("given")).toEqual({ "given-bad": "consecutive_5xx" });
  await fleet.redeclare("given", service("consecutive5xx: 4, maxEjectionPercent: 50"));
  expect(await fleet.avoided("given")).toEqual({ "given-bad": "consecutive_5xx" });
  await fleet.redeclare("given", { spec: "loadBalancer: { algorithm: round-robin }," });
  expect(await fleet.avoided("given")).toEqual({});
  expect(await fleet.asked("given", 10)).toEqual({ "given-good": 5, "given-bad": 5 });
  // Asked for again, it counts from the beginning.
  await fleet.redeclare("given", service("consecutive5xx: 4, maxEjectionPercent: 50"));
  await fleet.asked("given", 6);
  expect(await fleet.avoided("given")).toEqual({});
  await fleet.asked("given", 2);
  expect(await fleet.avoided("given")).toEqual({ "given-bad": "consecutive_5xx" });
});
