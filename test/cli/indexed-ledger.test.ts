/** What is asked of a long ledger by its index, against what reading all of it says. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { documentHistory } from "../../src/cli/mesh/indexed-ledger.ts";
import { type LogQuery, recentEntries } from "../../src/cli/mesh/recent-entries.ts";
import { ProgressLine } from "../../src/cli/output/progress.ts";
import type { RecordedChange } from "../../src/events/change.ts";
import { documentOfEvent, kindOfEvent } from "../../src/events/event-document.ts";
import { openEventLog, readEventLog } from "../../src/events/jetstream-log.ts";
import type { EventLog } from "../../src/events/log.ts";
import { openBucket } from "../../src/nats/buckets.ts";
import type { Bucket } from "../../src/nats/bus.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { CHECKPOINT_BUCKET } from "../../src/nats/subjects.ts";
import { parseDocumentKey } from "../../src/policy/document-key.ts";
import { HistoryKeeper, historyKey } from "../../src/projections/history-checkpoints.ts";
import { blameDocuments } from "../../src/replay/blame.ts";
import { changeIndex, changeIndexCodec } from "../../src/replay/change-index.ts";
import { type HistoryEntry, type HistoryFilter, historyEntry, serviceOfEvent } from "../../src/replay/history.ts";
import { TestLedger } from "../support/ledger.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { eventsOfSteps, steps } from "../support/random-history.ts";

const EVERY = 4;
const REVISIONS = 62;

let nats: TestNats;
let log: EventLog;
let bucket: Bucket;
let viewer: NatsBus;
let reads = 0;
const ledger = new TestLedger();

beforeAll(async () => {
  nats = await startTestNats();
  const { bus } = await nats.connectControl();
  log = await openEventLog(bus);
  bucket = await openBucket(bus, CHECKPOINT_BUCKET);
  viewer = (await nats.connect(await nats.mintOperator({ name: "eve", role: "viewer", namespaces: [] }))).bus;
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`history of seed ${seed}`);
  for (const [at, list] of fc.sample(steps, { seed, numRuns: 1_000 }).entries()) {
    const namespace = list[0]?.namespace ?? "shop";
    const events = eventsOfSteps(ledger.state, list);
    if (events.length === 0 || ledger.changes.length === REVISIONS) continue;
    const before = ledger.changes.findLast((change) => change.namespace === namespace)?.revision ?? 0;
    // Operators come and go, so that stretches differ in who acted.
    const actor = `operator-${Math.floor(at / 10) % 5}`;
    expect((await log.append(ledger.record(namespace, events, actor).change, before)).ok).toBe(true);
  }
  expect(ledger.changes.length).toBe(REVISIONS);
  const source = { log, bucket, projection: changeIndex(EVERY), codec: changeIndexCodec, every: EVERY };
  const keeper = new HistoryKeeper({ ...source, warn: console.warn });
  keeper.start();
  keeper.start();
  await keeper.settled();
});
afterAll(() => nats.stop());

/** As an operator reads, counting the changes. */
function reader() {
  const full = readEventLog(viewer);
  const counted: Omit<EventLog, "append"> = {
    lastRevision: () => full.lastRevision(),
    subscribe: (from, onChange) => full.subscribe(from, onChange),
    async *read(range) {
      for await (const change of full.read(range)) {
        reads += 1;
        yield change;
      }
    },
  };
  return { bus: viewer, ledger: counted, every: EVERY };
}

function entries(query: LogQuery): Promise<HistoryEntry[]> {
  return Array.fromAsync(recentEntries(reader(), query, new ProgressLine()));
}

/** Values that occur, and some that do not. */
function filters(): fc.Arbitrary<HistoryFilter> {
  const events = ledger.changes.flatMap(({ change }) => change.data.events);
  const services = new Set(events.flatMap((event) => serviceOfEvent(event) ?? []));
  const service = fc.constantFrom(...services, "shop/nobody" as const, "elsewhere/web" as const);
  const time = fc.constantFrom(...ledger.changes.map(({ change }) => Date.parse(change.time)));
  const kinds = [...new Set(events.flatMap((event) => kindOfEvent(event) ?? []))];
  const all = {
    namespace: fc.constantFrom("shop", "bank", "_mesh", "elsewhere"),
    actor: fc.constantFrom("operator-0", "operator-3", "nobody"),
    kind: fc.constantFrom(...kinds),
    service,
    source: service,
    destination: service,
    sinceMs: time,
    untilMs: time,
    text: fc.constantFrom("granted", "route"),
    accessOnly: fc.constant(true),
  };
  return fc.record(all, { requiredKeys: [] });
}

test("log says by the index what it says by reading everything", async () => {
  const property = fc.asyncProperty(filters(), fc.integer({ min: 1, max: REVISIONS }), async (filter, to) => {
    const expected = ledger.changes
      .slice(0, to)
      .flatMap((change) => historyEntry(change, filter) ?? [])
      .map(({ recorded }) => recorded.revision);
    const found = await entries({ from: 1, to, filter });
    expect(found.map(({ recorded }) => recorded.revision)).toEqual(expected.reverse());
  });
  await fc.assert(property, { numRuns: 150 });
}, 60_000);

test("what nobody did is found out without reading the changes", async () => {
  reads = 0;
  expect(await entries({ from: 1, to: undefined, filter: { actor: "nobody" } })).toEqual([]);
  // Those after the last complete stretch, and of each index that there is the one that it is held against.
  // Where a busy machine does not answer in time, a stretch more.
  expect(reads).toBeGreaterThanOrEqual((REVISIONS % EVERY) + Math.floor(REVISIONS / EVERY));
  expect(reads).toBeLessThan(REVISIONS / 2);
});

test("a document is blamed by its own changes as by all of its namespace", async () => {
  const placed = ledger.changes.flatMap(({ namespace, change }) =>
    change.data.events.flatMap((event) => {
      const key = documentOfEvent(event);
      return key === undefined ? [] : [{ key, isOwn: parseDocumentKey(key)?.namespace === namespace }];
    }),
  );
  // Random changes also write what is not of their namespace, which no command can.
  const strays = new Set(placed.filter(({ isOwn }) => !isOwn).map(({ key }) => key));
  const keys = new Set(placed.map(({ key }) => key)).difference(strays);
  expect(keys.size).toBeGreaterThan(0);
  const blamed = async (changes: AsyncIterable<RecordedChange> | RecordedChange[], key: string) => {
    const [found] = (await blameDocuments(changes, [key as never])).values();
    return { fields: found?.fields, removed: found?.removed };
  };
  for (const key of keys) {
    const namespace = parseDocumentKey(key)?.namespace ?? "";
    for (const to of [REVISIONS, REVISIONS - 13, 5]) {
      const own = ledger.changes.filter((change) => change.namespace === namespace && change.revision <= to);
      const asked = documentHistory(reader(), { to, namespace }, [key]);
      expect(await blamed(asked, key)).toEqual(await blamed(own, key));
    }
  }
}, 60_000);

test("a stretch whose index is damaged or missing is read", async () => {
  await bucket.put(historyKey(changeIndex(EVERY), 8), new TextEncoder().encode("not what was written"));
  await bucket.delete(historyKey(changeIndex(EVERY), 12));
  reads = 0;
  expect(await entries({ from: 1, to: undefined, filter: { actor: "nobody" } })).toEqual([]);
  expect(reads).toBeGreaterThanOrEqual((REVISIONS % EVERY) + Math.floor(REVISIONS / EVERY) - 2 + 2 * EVERY);
});
