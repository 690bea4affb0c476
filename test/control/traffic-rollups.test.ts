/** Roll-ups of the traffic ledger: whatever is asked of them and the reports around them, reports alone say the same. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { reports, trafficSince } from "../../src/cli/mesh/traffic-input.ts";
import { RollupKeeper, readRollup, rollupKey } from "../../src/control/traffic-rollups.ts";
import { openBucket } from "../../src/nats/buckets.ts";
import type { Bucket } from "../../src/nats/bus.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { lastSequence } from "../../src/nats/stream-client.ts";
import { CHECKPOINT_BUCKET, subjects, TRAFFIC_STREAM } from "../../src/nats/subjects.ts";
import { ensureTrafficStream } from "../../src/nats/traffic-stream.ts";
import { canonicalJson } from "../../src/policy/canonical.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/projections/checkpoint.ts";
import { rollupCodec, TRAFFIC_ROLLUP } from "../../src/replay/traffic-rollup.ts";
import { TrafficTable } from "../../src/replay/traffic-table.ts";
import { CALL_DECISIONS, encodeTrafficSummary, type TrafficSummary } from "../../src/telemetry/traffic-summary.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const SIZE = 8;
const MINUTE_MS = 60_000;

let nats: TestNats;
let control: NatsBus;
let viewer: NatsBus;
let bucket: Bucket;

beforeAll(async () => {
  nats = await startTestNats();
  control = (await nats.connectControl()).bus;
  bucket = await openBucket(control, CHECKPOINT_BUCKET);
  viewer = (await nats.connect(await nats.mintOperator({ name: "eve", role: "viewer", namespaces: [] }))).bus;
});
afterAll(() => nats.stop());

const call = fc.record({
  source: fc.constantFrom("shop/web" as const, "shop/job" as const, null),
  destination: fc.constantFrom("shop/catalog" as const, "shop/payment" as const),
  method: fc.constantFrom("GET", "POST"),
  path: fc.constantFrom("/items/{}", "/", "*", ""),
  decision: fc.constantFrom(...CALL_DECISIONS),
  count: fc.integer({ min: 1, max: 90 }),
  errors: fc.integer({ min: 0, max: 3 }),
  latency: fc.constantFrom([], [20, 3], [4, 1, 20, 2, 96, 7]),
});

/** What an instance does next; `again`: stores its last report once more. `lateMs`: its clock, or how long it waited. */
const step = fc.record({
  kind: fc.constantFrom("report", "report", "report", "report", "report", "again", "garbage"),
  instance: fc.integer({ min: 0, max: 2 }),
  restarted: fc.boolean(),
  lateMs: fc.integer({ min: -MINUTE_MS, max: 10 * MINUTE_MS }),
  dropped: fc.integer({ min: 0, max: 2 }),
  calls: fc.array(call, { maxLength: 4 }),
});

/** The messages of a random history, a minute apart. */
function messagesOf(steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[]) {
  const last = new Map<number, TrafficSummary>();
  return steps.map(({ kind, instance, restarted, lateMs, dropped, calls }, minute) => {
    const subject = subjects.traffic("shop", "catalog", `i${instance}`);
    if (kind === "garbage") return { subject, data: new TextEncoder().encode("{") };
    const before = last.get(instance);
    if (kind === "again" && before !== undefined) return { subject, data: encodeTrafficSummary(before) };
    const goesOn = before !== undefined && !restarted;
    const toMs = Math.max(0, 20 * MINUTE_MS + minute * MINUTE_MS - lateMs);
    const summary: TrafficSummary = {
      schema: 1,
      instance: `i${instance}`,
      epoch: goesOn ? before.epoch : minute,
      sequence: goesOn ? before.sequence + 1 : 1,
      fromMs: Math.max(0, toMs - MINUTE_MS),
      toMs,
      droppedCalls: (goesOn ? before.droppedCalls : 0) + dropped,
      calls,
    };
    last.set(instance, summary);
    return { subject, data: encodeTrafficSummary(summary) };
  });
}

/** A ledger of traffic made anew, with these messages. */
async function fill(messages: readonly { subject: string; data: Uint8Array }[]): Promise<void> {
  const manager = await control.client.jetstreamManager({ checkAPI: false });
  await manager.streams.delete(TRAFFIC_STREAM).catch(() => {});
  await ensureTrafficStream(control);
  for (const { subject, data } of messages) control.publish(subject, data);
  await control.flush();
  while ((await lastSequence(control, TRAFFIC_STREAM)) < messages.length) await control.flush();
}

async function rollUp(): Promise<string[]> {
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  await new RollupKeeper({ bus: control, bucket, warn, size: SIZE }).look();
  return warnings;
}

/** What was counted, as data. */
const contents = (table: TrafficTable) => ({
  calls: table.rolled().sort((a, b) => (canonicalJson(a) < canonicalJson(b) ? -1 : 1)),
  dropped: table.dropped,
});

async function byReports(span: { fromMs: number; toMs: number }): Promise<TrafficTable> {
  const table = new TrafficTable();
  for await (const { subject, summary } of reports({ bus: viewer }, span)) table.add(subject, summary);
  return table;
}

test("any span of any history says by roll-ups what it says by reports, some of them missing or damaged", async () => {
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 3 * SIZE, maxLength: 6 * SIZE }),
    fc.array(fc.integer({ min: 0, max: 80 }), { minLength: 4, maxLength: 4 }),
    fc.integer({ min: 0, max: 5 }),
    async (steps, minutes, damaged) => {
      await fill(messagesOf(steps));
      // Those of the history before are there still.
      await rollUp();
      const said = { bus: viewer, rollupReports: SIZE };
      for (const from of minutes) {
        const span = { fromMs: from * MINUTE_MS, toMs: 200 * MINUTE_MS };
        expect(contents(await trafficSince(said, span))).toEqual(contents(await byReports(span)));
      }
      await bucket.put(rollupKey(damaged), new TextEncoder().encode("not what was written"));
      const all = { fromMs: 0, toMs: 200 * MINUTE_MS };
      expect(contents(await trafficSince(said, all))).toEqual(contents(await byReports(all)));
    },
  );
  await fc.assert(property, { numRuns: 12, endOnFailure: true });
}, 60_000);

/** As many reports as roll-ups want, each of one call. */
const plain = (length: number, count: number) =>
  messagesOf(
    fc.sample(step, { seed: 1, numRuns: length }).map((one) => ({
      ...one,
      kind: "report",
      lateMs: 0,
      calls: [
        {
          source: "shop/web" as const,
          destination: "shop/catalog" as const,
          method: "GET",
          path: "/",
          decision: "allowed" as const,
          count,
          errors: 0,
          latency: [],
        },
      ],
    })),
  );

test("commands read the roll-ups of a span, and reports only around them", async () => {
  await fill(plain(4 * SIZE, 1));
  await rollUp();
  const key = rollupKey(1);
  const rolled = decodeCheckpoint(TRAFFIC_ROLLUP, rollupCodec, (await bucket.get(key))?.value ?? new Uint8Array());
  if (!rolled.ok) throw new Error(rolled.error);
  // What no report says, so that whoever reads reports instead does not see it.
  const calls = rolled.value.state.calls.map((one) => ({ ...one, count: 1_000 }));
  const state = { ...rolled.value.state, calls };
  await bucket.put(key, encodeCheckpoint(TRAFFIC_ROLLUP, rollupCodec, { ...rolled.value, state }));
  const said = { bus: viewer, rollupReports: SIZE };
  const total = async (fromMs: number) => (await trafficSince(said, { fromMs, toMs: 200 * MINUTE_MS })).total;
  expect(await total(0)).toBe(1_000 + 3 * SIZE);
  // From the middle of the second stretch on: reports are minutes apart, the first of them at minute 20.
  expect(await total((20 + SIZE + SIZE / 2) * MINUTE_MS)).toBe(2 * SIZE + SIZE / 2);
}, 30_000);

test("roll-ups are what is read, and those of another stream or damaged ones are not, but made again", async () => {
  await fill(plain(4 * SIZE, 1));
  await rollUp();
  expect(await rollUp()).toEqual([]);
  const read = (warnings: string[]) =>
    Promise.all(
      [0, 1, 2, 3].map((index) =>
        readRollup({ bus: viewer, bucket, size: SIZE, warn: (text) => void warnings.push(text) }, index),
      ),
    );
  expect((await read([])).map((rollup) => rollup?.calls[0]?.count)).toEqual([SIZE, SIZE, SIZE, SIZE]);

  // Were reports read instead, this would not be seen.
  const other = (await bucket.get(rollupKey(0)))?.value ?? new Uint8Array();
  await fill(plain(4 * SIZE, 2));
  await bucket.put(rollupKey(1), new TextEncoder().encode("not what was written"));
  const warnings: string[] = [];
  expect((await read(warnings)).filter((rollup) => rollup !== undefined)).toEqual([]);
  expect(warnings.length).toBe(4);
  expect((await rollUp()).length).toBe(4);
  expect((await read([])).map((rollup) => rollup?.calls[0]?.count)).toEqual([2 * SIZE, 2 * SIZE, 2 * SIZE, 2 * SIZE]);
  expect((await bucket.get(rollupKey(0)))?.value).not.toEqual(other);
}, 30_000);
