import { afterEach, expect, test } from "bun:test";
import { encodeChange } from "../../src/events/chain.ts";
import type { RecordedChange } from "../../src/events/change.ts";
import { type EventLog, LogCorruption, type LogSubscription } from "../../src/events/log.ts";
import { MemoryLog } from "../../src/events/memory-log.ts";
import type { MeshState } from "../../src/events/state.ts";
import { encodeCheckpoint } from "../../src/projections/checkpoint.ts";
import { meshProjection, type Projection } from "../../src/projections/projection.ts";
import { type RunnerOptions, type RunningProjection, runProjection } from "../../src/projections/runner.ts";
import { meshStateCodec, type StateCodec } from "../../src/projections/state-codec.ts";
import { TestLedger } from "../support/ledger.ts";
import { MemoryBroker, type MemoryBucket } from "../support/memory-bus.ts";

/** Remembers what it folded: anything skipped or folded twice shows. */
const revisions: Projection<readonly number[]> = {
  name: "revisions",
  version: 1,
  initial: [],
  evolve: (state, { revision }) => [...state, revision],
};

const revisionsCodec: StateCodec<readonly number[]> = {
  toJson: (state) => state,
  fromJson: (data) => {
    if (!Array.isArray(data)) throw new TypeError("not a list");
    return data.map(Number);
  },
};

const running: RunningProjection<unknown>[] = [];
afterEach(async () => {
  for (const projection of running.splice(0)) await projection.stop();
});

async function run<S>(options: Omit<RunnerOptions<S>, "warn" | "random"> & { warnings?: string[] }) {
  const warn = (message: string): void => void options.warnings?.push(message);
  const projection = await runProjection({ ...options, warn, random: () => 0 });
  running.push(projection);
  return projection;
}

class Source {
  readonly log = new MemoryLog();
  readonly ledger = new TestLedger();

  /** Appends changes that declare services; returns the last revision. */
  append(count: number): number {
    for (let index = 0; index < count; index++) {
      const name = `s${this.ledger.changes.length}`;
      const spec = { ports: [{ port: 80, protocol: "http" as const }] };
      const recorded = this.ledger.record("shop", [{ type: "ServiceDeclared", namespace: "shop", name, spec }]);
      this.log.appendBytes("shop", encodeChange(recorded.change));
    }
    return this.ledger.changes.length;
  }
}

function upTo(revision: number): number[] {
  return Array.from({ length: revision }, (_, index) => index + 1);
}

function newBucket(): MemoryBucket {
  return new MemoryBroker().connect().bucket("checkpoints");
}

/** Resolves when `condition` holds; the caller's own timeout bounds it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("folds what is there, then what comes, and tells of the latter", async () => {
  const source = new Source();
  source.append(3);
  const told: [MeshState, MeshState, number][] = [];
  const onChange = (before: MeshState, after: MeshState, change: RecordedChange): void => {
    told.push([before, after, change.revision]);
  };
  const projection = await run({ log: source.log, projection: meshProjection, onChange });
  expect(projection.state).toEqual(source.ledger.state);
  expect(told).toEqual([]);

  const before = projection.state;
  const revision = source.append(1);
  await projection.caughtUp(revision);
  expect(projection.revision).toBe(4);
  expect(projection.state).toEqual(source.ledger.state);
  expect(told).toEqual([[before, projection.state, 4]]);
});

test("an empty log is caught up at once", async () => {
  const projection = await run({ log: new MemoryLog(), projection: revisions });
  expect(projection.state).toEqual([]);
  await projection.caughtUp(0);
});

test("caughtUp waits for its own revision, not for the next change", async () => {
  const source = new Source();
  const projection = await run({ log: source.log, projection: revisions });
  const reached: number[] = [];
  const waits = [3, 1, 2].map((revision) => projection.caughtUp(revision).then(() => reached.push(revision)));
  source.append(1);
  await projection.caughtUp(1);
  expect(reached).toEqual([1]);
  source.append(2);
  await Promise.all(waits);
  expect(projection.state).toEqual([1, 2, 3]);
});

test("what waits when the projection is stopped is told so", async () => {
  const projection = await run({ log: new MemoryLog(), projection: revisions });
  const waiting = projection.caughtUp(1).catch((error: Error) => error.message);
  await projection.stop();
  expect(await waiting).toContain("stopped");
  expect(await projection.caughtUp(1).catch((error: Error) => error.message)).toContain("stopped");
});

/** A log whose subscriptions break after every few changes, and which repeats the last one when it comes back. */
function brittle(log: MemoryLog, lifetime: number): EventLog {
  return {
    append: (change, expected) => log.append(change, expected),
    read: (range) => log.read(range),
    lastRevision: () => log.lastRevision(),
    async subscribe(from, onChange): Promise<LogSubscription> {
      const over = Promise.withResolvers<void>();
      let left = lifetime;
      const inner = await log.subscribe(Math.max(1, from - 1), async (change) => {
        await onChange(change);
        left -= 1;
        if (left > 0) return;
        inner.stop();
        over.reject(new Error("connection reset"));
      });
      const stop = (): void => {
        inner.stop();
        over.resolve();
      };
      return { closed: over.promise, stop };
    },
  };
}

test("a subscription that breaks is taken up again: nothing skipped, nothing twice", async () => {
  const source = new Source();
  source.append(7);
  const warnings: string[] = [];
  const projection = await run({ log: brittle(source.log, 3), projection: revisions, warnings });
  const revision = source.append(4);
  await projection.caughtUp(revision);
  expect(projection.state).toEqual(upTo(11));
  expect(warnings.filter((warning) => warning.includes("connection reset")).length).toBeGreaterThan(2);
});

test("an event that nobody knows stops the projection, loudly and for good", async () => {
  const source = new Source();
  source.append(1);
  const warnings: string[] = [];
  const projection = await run({ log: source.log, projection: revisions, warnings });
  const waiting = projection.caughtUp(2).catch((error: unknown) => error);
  source.log.appendBytes("shop", new TextEncoder().encode('{"specversion":"1.0"}'));
  const fault = await projection.failed.catch((error: unknown) => error);
  expect(fault).toBeInstanceOf(LogCorruption);
  expect(await waiting).toBe(fault);
  expect(projection.state).toEqual([1]);
  expect(warnings.join("\n")).toContain("has stopped");
});

test("history that cannot be understood is no start", async () => {
  const log = new MemoryLog();
  log.appendBytes("shop", new TextEncoder().encode("{"));
  const fault = await runProjection({ log, projection: revisions, warn: () => {} }).catch((error: unknown) => error);
  expect(fault).toBeInstanceOf(LogCorruption);
});

test("a fold that throws stops the projection and names the change", async () => {
  const source = new Source();
  source.append(1);
  const evolve = (state: readonly number[], { revision }: RecordedChange): readonly number[] => {
    if (revision === 2) throw new Error("a bug");
    return [...state, revision];
  };
  const projection = await run({ log: source.log, projection: { ...revisions, evolve } });
  source.append(1);
  const fault = await projection.failed.catch((error: Error) => error.message);
  expect(fault).toBe("revision 2 was not folded: a bug");
  expect(projection.revision).toBe(1);
});

test("a hole in the log is not stepped over", async () => {
  const source = new Source();
  source.append(4);
  const holed: EventLog = {
    ...brittle(source.log, Number.POSITIVE_INFINITY),
    subscribe: (from, onChange) =>
      source.log.subscribe(from, (change) => (change.revision === 2 ? undefined : onChange(change))),
  };
  const fault = await runProjection({ log: holed, projection: revisions, warn: () => {}, random: () => 0 }).catch(
    (error: unknown) => error,
  );
  expect(fault).toBeInstanceOf(LogCorruption);
  expect(fault).toHaveProperty("revision", 2);
});

test("a checkpoint is written every so many changes and saves folding them again", async () => {
  const source = new Source();
  source.append(2);
  const bucket = newBucket();
  const checkpoints = { bucket, codec: revisionsCodec, every: 5 };
  const first = await run({ log: source.log, projection: revisions, checkpoints });
  for (let index = 0; index < 10; index++) await first.caughtUp(source.append(1));
  await until(() => bucket.history.length > 0);
  await first.stop();

  const folded: number[] = [];
  const evolve: typeof revisions.evolve = (state, change) => {
    folded.push(change.revision);
    return revisions.evolve(state, change);
  };
  const second = await run({ log: source.log, projection: { ...revisions, evolve }, checkpoints });
  expect(second.state).toEqual(upTo(12));
  expect(folded.length).toBeLessThan(12);
  expect(folded).toEqual(upTo(12).slice(-folded.length));
});

test("a long history is checkpointed once it is folded", async () => {
  const source = new Source();
  source.append(20);
  const bucket = newBucket();
  const checkpoints = { bucket, codec: revisionsCodec, every: 5 };
  const projection = await run({ log: source.log, projection: revisions, checkpoints });
  await projection.stop();
  expect(bucket.history).toHaveLength(1);
});

test("a checkpoint that is damaged, ahead, or of another ledger is not taken up, and said so", async () => {
  const source = new Source();
  source.append(3);
  const hash = source.ledger.changes.at(-1)?.hash ?? "";
  const encode = (revision: number, withHash: string): Uint8Array => {
    return encodeCheckpoint(revisions, revisionsCodec, { revision, hash: withHash, state: [99] });
  };
  for (const [bytes, words] of [
    [new Uint8Array([1, 2, 3]), "cannot be read"],
    [encode(4, hash), "the log ends at 3"],
    [encode(2, hash), "another change at revision 2"],
  ] as const) {
    const bucket = newBucket();
    await bucket.put("revisions.1", bytes);
    const warnings: string[] = [];
    const checkpoints = { bucket, codec: revisionsCodec };
    const projection = await run({ log: source.log, projection: revisions, checkpoints, warnings });
    expect(projection.state).toEqual([1, 2, 3]);
    expect(warnings.join("\n")).toContain(words);
  }
  const bucket = newBucket();
  await bucket.put("revisions.1", encode(3, hash));
  const good = await run({ log: source.log, projection: revisions, checkpoints: { bucket, codec: revisionsCodec } });
  expect(good.state).toEqual([99]);
});

test("a bucket out of reach costs the checkpoint and nothing else", async () => {
  const source = new Source();
  source.append(6);
  const bus = new MemoryBroker().connect();
  bus.disconnect();
  const warnings: string[] = [];
  const checkpoints = { bucket: bus.bucket("checkpoints"), codec: meshStateCodec, every: 5 };
  const projection = await run({ log: source.log, projection: meshProjection, checkpoints, warnings });
  await projection.stop();
  expect(projection.state).toEqual(source.ledger.state);
  expect(warnings.join("\n")).toContain("could not be read");
  expect(warnings.join("\n")).toContain("was not written");
});
