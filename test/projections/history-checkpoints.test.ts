/** Checkpoints along history, in a real bucket beside a real ledger. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import { openEventLog, readEventLog } from "../../src/events/jetstream-log.ts";
import type { EventLog } from "../../src/events/log.ts";
import type { MeshState } from "../../src/events/state.ts";
import { directReader, openBucket } from "../../src/nats/buckets.ts";
import type { Bucket } from "../../src/nats/bus.ts";
import { CHECKPOINT_BUCKET } from "../../src/nats/subjects.ts";
import { canonicalJson } from "../../src/policy/canonical.ts";
import { HistoryKeeper, historyKey, nearestCheckpoint } from "../../src/projections/history-checkpoints.ts";
import { meshProjection } from "../../src/projections/projection.ts";
import { meshStateCodec } from "../../src/projections/state-codec.ts";
import { stateAt } from "../../src/replay/state-at.ts";
import { TestLedger } from "../support/ledger.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { eventsOfSteps, steps } from "../support/random-history.ts";

const EVERY = 4;
const REVISIONS = 22;

let nats: TestNats;
let log: EventLog;
let bucket: Bucket;
let warnings: string[];

beforeEach(async () => {
  nats = await startTestNats();
  const { bus } = await nats.connectControl();
  log = await openEventLog(bus);
  bucket = await openBucket(bus, CHECKPOINT_BUCKET);
  warnings = [];
});
afterEach(() => nats.stop());

const source = () => ({
  log,
  bucket,
  projection: meshProjection,
  codec: meshStateCodec,
  every: EVERY,
  warn: (message: string) => void warnings.push(message),
});

const textOf = (state: MeshState): string => canonicalJson(meshStateCodec.toJson(state));

/** A random history in the ledger, and the state after each of its changes. */
async function recordHistory(): Promise<MeshState[]> {
  const ledger = new TestLedger();
  const states = [ledger.state];
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`history of seed ${seed}`);
  for (const list of fc.sample(steps, { seed, numRuns: 1_000 })) {
    const namespace = list[0]?.namespace ?? "shop";
    const events = eventsOfSteps(ledger.state, list);
    if (events.length === 0) continue;
    const before = ledger.changes.findLast((change) => change.namespace === namespace)?.revision ?? 0;
    const appended = await log.append(ledger.record(namespace, events).change, before);
    expect(appended.ok).toBe(true);
    states.push(ledger.state);
    if (ledger.changes.length === REVISIONS) return states;
  }
  throw new Error("the sample is too short");
}

async function fill(): Promise<void> {
  const keeper = new HistoryKeeper(source());
  keeper.start();
  await keeper.settled();
}

test("at every cut of any history, the nearest checkpoint and the tail make what all of it makes", async () => {
  const states = await recordHistory();
  await fill();
  const viewer = await nats.connect(await nats.mintOperator({ name: "eve", role: "viewer", namespaces: [] }));
  const reader = { ...source(), log: readEventLog(viewer.bus), bucket: directReader(viewer.bus, CHECKPOINT_BUCKET) };
  for (const [revision, state] of states.entries()) {
    const checkpoint = await nearestCheckpoint(reader, revision);
    expect(checkpoint?.revision ?? 0).toBe(revision - (revision % EVERY));
    expect(textOf(await stateAt(reader.log, revision, checkpoint?.state))).toBe(textOf(state));
  }
  expect(warnings).toEqual([]);
}, 30_000);

test("a checkpoint that is damaged or of another ledger is passed over aloud, and made again", async () => {
  const states = await recordHistory();
  await fill();
  const keys = [8, 12].map((revision) => historyKey(meshProjection, revision));
  const good = await Promise.all(keys.map(async (key) => (await bucket.get(key))?.value));
  const foreign = new HistoryKeeper(source());
  foreign.recorded(states[12] ?? meshProjection.initial, { revision: 12, hash: "of another ledger" });
  await foreign.settled();
  await bucket.put(keys[0] ?? "", new TextEncoder().encode("not what was written"));

  expect((await nearestCheckpoint(source(), 13))?.revision).toBe(4);
  expect(warnings.map((text) => text.split(" is passed over")[0])).toEqual(
    keys.toReversed().map((key) => `the checkpoint ${key}`),
  );
  warnings = [];
  await fill();
  expect(warnings.map((text) => text.split(" is made again")[0])).toEqual(keys.map((key) => `the checkpoint ${key}`));
  expect(await Promise.all(keys.map(async (key) => (await bucket.get(key))?.value))).toEqual(good);
}, 30_000);

test("a new version makes its own beside those of the version before, and removes older ones", async () => {
  await recordHistory();
  const older = [2, 1, 0].map((back) => ({ ...meshProjection, version: meshProjection.version + back - 2 }));
  for (const projection of older.toReversed()) {
    const keeper = new HistoryKeeper({ ...source(), projection });
    keeper.start();
    await keeper.settled();
  }
  const there = await Promise.all(older.map(async (it) => (await bucket.get(historyKey(it, EVERY))) !== undefined));
  expect(there).toEqual([true, true, false]);
}, 30_000);
