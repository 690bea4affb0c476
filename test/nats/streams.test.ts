import { afterAll, beforeAll, expect, test } from "bun:test";
import { openBucket } from "../../src/nats/buckets.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { ensureEventStream } from "../../src/nats/streams.ts";
import { TRAFFIC_STREAM } from "../../src/nats/subjects.ts";
import { ensureTrafficStream } from "../../src/nats/traffic-stream.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const REPLICAS = 6;

let nats: TestNats;
let buses: NatsBus[];
beforeAll(async () => {
  nats = await startTestNats();
  buses = await Promise.all(Array.from({ length: REPLICAS }, async () => (await nats.connectControl()).bus));
});
afterAll(() => nats.stop());

test.each([
  ["the ledger", (bus: NatsBus) => ensureEventStream(bus)],
  ["a bucket", (bus: NatsBus) => openBucket(bus, "heddle-config")],
  ["the traffic ledger", (bus: NatsBus) => ensureTrafficStream(bus)],
])("%s is made once, by however many replicas that start at the same moment", async (_, make) => {
  const outcomes = await Promise.allSettled(buses.map((bus) => make(bus)));
  expect(outcomes.filter(({ status }) => status === "rejected")).toEqual([]);
});

test("the traffic ledger is made to hold less where the disk has no room for all that it may", async () => {
  const { bus } = await nats.connectControl();
  await bus.client.jetstreamManager().then((manager) => manager.streams.delete(TRAFFIC_STREAM).catch(() => false));
  const petabyte = 2 ** 50;
  await ensureTrafficStream(bus, { bounds: { ageMaxMs: 60_000, bytesMax: petabyte } });
  const manager = await bus.client.jetstreamManager();
  const { config } = await manager.streams.info(TRAFFIC_STREAM);
  expect(config.max_bytes).toBeLessThan(petabyte);
  expect(config.max_bytes).toBeGreaterThan(16 * 1024 * 1024 - 1);
}, 30_000);
