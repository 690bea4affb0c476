/** What every event log must do. Each implementation's own test calls `eventLogContract` with a way to make one. */

import { afterEach, describe, expect, test } from "bun:test";
import { encodeChange, sha256Hex, verifyChain } from "../../src/events/chain.ts";
import { type Change, FIRST_PREVIOUS, type RecordedChange } from "../../src/events/change.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { type EventLog, LogCorruption, type ReadRange } from "../../src/events/log.ts";

export interface LogUnderTest {
  /** Empty. */
  readonly log: EventLog;
  /** Stores bytes in a namespace past all checks of this program, as a newer one might. */
  appendBytes(namespace: string, bytes: Uint8Array): Promise<unknown>;
  dispose(): Promise<void>;
}

/** A change of one made-up service, told apart by `name`. */
export function sampleChange(namespace: string, name: string, previous: string = FIRST_PREVIOUS): Change {
  const event: DomainEvent = {
    type: "ServiceDeclared",
    namespace,
    name,
    spec: { ports: [{ port: 8080, protocol: "http" }] },
  };
  return {
    specversion: "1.0",
    id: `id-${namespace}-${name}`,
    source: "heddle/control",
    type: "io.heddle.change.v1",
    time: "2026-01-02T03:04:05.000Z",
    subject: namespace,
    datacontenttype: "application/json",
    authtype: "user",
    authid: "alice",
    data: {
      schema: 1,
      actor: { name: "alice" },
      reason: `declare ${name}`,
      command: { kind: "apply", id: `id-${name}`, digest: sha256Hex(name) },
      previous,
      events: [event],
    },
  };
}

/** Appends and insists. */
export async function mustAppend(log: EventLog, change: Change, expected: number): Promise<RecordedChange> {
  const result = await log.append(change, expected);
  if (!result.ok) throw new Error(`expected revision ${expected}, the log is at ${result.error.lastRevision}`);
  return result.value;
}

async function namesRead(log: EventLog, range?: ReadRange): Promise<string[]> {
  const names: string[] = [];
  for await (const recorded of log.read(range)) names.push(recorded.change.data.reason);
  return names;
}

export function eventLogContract(name: string, makeLog: () => Promise<LogUnderTest>): void {
  describe(`${name} keeps the contract of an event log:`, () => {
    const made: LogUnderTest[] = [];
    const make = async (): Promise<LogUnderTest> => {
      const under = await makeLog();
      made.push(under);
      return under;
    };
    afterEach(async () => {
      for (const under of made.splice(0)) await under.dispose();
    });
    appendCases(make);
    readCases(make);
    subscribeCases(make);
  });
}

function appendCases(make: () => Promise<LogUnderTest>): void {
  test("an empty log is at revision 0 and reads as nothing", async () => {
    const { log } = await make();
    expect(await log.lastRevision()).toBe(0);
    expect(await namesRead(log)).toEqual([]);
  });

  test("append returns the change as recorded, with its revision and hash", async () => {
    const { log } = await make();
    const change = sampleChange("shop", "web");
    const recorded = await mustAppend(log, change, 0);
    expect(recorded).toEqual({ revision: 1, namespace: "shop", change, hash: sha256Hex(encodeChange(change)) });
    expect(await log.lastRevision()).toBe(1);
    expect(await Array.fromAsync(log.read())).toEqual([recorded]);
  });

  test("a stale expectation is a conflict that names the last revision and stores nothing", async () => {
    const { log } = await make();
    await mustAppend(log, sampleChange("shop", "web"), 0);
    const again = await log.append(sampleChange("shop", "orders"), 0);
    expect(again.ok).toBe(false);
    if (!again.ok) expect([undefined, 1]).toContain(again.error.lastRevision);
    const ahead = await log.append(sampleChange("shop", "orders"), 7);
    expect(ahead.ok).toBe(false);
    expect(await log.lastRevision()).toBe(1);
  });

  test("namespaces do not conflict with one another, and share one clock", async () => {
    const { log } = await make();
    expect((await mustAppend(log, sampleChange("shop", "web"), 0)).revision).toBe(1);
    expect((await mustAppend(log, sampleChange("bank", "web"), 0)).revision).toBe(2);
    expect((await mustAppend(log, sampleChange("_mesh", "root"), 0)).revision).toBe(3);
    expect((await mustAppend(log, sampleChange("shop", "orders"), 1)).revision).toBe(4);
  });

  test("of concurrent appenders with one expectation exactly one wins", async () => {
    const { log } = await make();
    const names = Array.from({ length: 16 }, (_, index) => `svc-${index}`);
    const results = await Promise.all(names.map((name) => log.append(sampleChange("shop", name), 0)));
    expect(results.filter((result) => result.ok)).toHaveLength(1);
    expect(await log.lastRevision()).toBe(1);
  });

  test("each change can name the hash of the one before, and the chain holds", async () => {
    const { log } = await make();
    let previous = FIRST_PREVIOUS;
    for (let revision = 0; revision < 3; revision++) {
      previous = (await mustAppend(log, sampleChange("shop", `svc-${revision}`, previous), revision)).hash;
    }
    const report = await verifyChain(log.read());
    expect(report).toEqual({ problems: [], heads: new Map([["shop", previous]]), changes: 3 });
  });
}

function readCases(make: () => Promise<LogUnderTest>): void {
  const filled = async (): Promise<LogUnderTest> => {
    const under = await make();
    await mustAppend(under.log, sampleChange("shop", "a"), 0);
    await mustAppend(under.log, sampleChange("bank", "b"), 0);
    await mustAppend(under.log, sampleChange("shop", "c"), 1);
    await mustAppend(under.log, sampleChange("bank", "d"), 2);
    return under;
  };
  const ranges: [ReadRange | undefined, string][] = [
    [undefined, "a b c d"],
    [{}, "a b c d"],
    [{ from: 2 }, "b c d"],
    [{ to: 2 }, "a b"],
    [{ from: 2, to: 3 }, "b c"],
    [{ from: 3, to: 3 }, "c"],
    [{ from: 3, to: 2 }, ""],
    [{ from: 5 }, ""],
    [{ to: 0 }, ""],
    [{ to: 99 }, "a b c d"],
    [{ namespace: "shop" }, "a c"],
    [{ namespace: "shop", from: 2 }, "c"],
    [{ namespace: "bank", to: 3 }, "b"],
    [{ namespace: "nobody" }, ""],
  ];
  test("read gives the range asked for, in order", async () => {
    const { log } = await filled();
    for (const [range, expected] of ranges) {
      const names = (await namesRead(log, range)).map((reason) => reason.replace("declare ", ""));
      expect({ range, names: names.join(" ") }).toEqual({ range, names: expected });
    }
  });

  test("read ends where the log ended when it was called", async () => {
    const { log } = await filled();
    let count = 0;
    for await (const recorded of log.read()) {
      count += 1;
      if (recorded.revision === 1) await mustAppend(log, sampleChange("shop", "late"), 3);
    }
    expect(count).toBe(4);
  });

  test("an event that this program does not know stops the reader at its revision", async () => {
    const { log, appendBytes } = await filled();
    const change = sampleChange("shop", "future");
    const future = { ...change, data: { ...change.data, events: [{ type: "TeleportEnabled", namespace: "shop" }] } };
    await appendBytes("shop", new TextEncoder().encode(JSON.stringify(future)));
    const seen: number[] = [];
    const reading = (async () => {
      for await (const recorded of log.read()) seen.push(recorded.revision);
    })();
    const fault = await reading.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(fault).toBeInstanceOf(LogCorruption);
    expect(fault).toHaveProperty("revision", 5);
    expect(String(fault)).toContain("TeleportEnabled");
    expect(seen).toEqual([1, 2, 3, 4]);
  });
}

function subscribeCases(make: () => Promise<LogUnderTest>): void {
  const count = 40;

  test("subscribe delivers past and future once, in order, one at a time, while appends go on", async () => {
    const { log } = await make();
    const append = (index: number) => mustAppend(log, sampleChange("shop", `svc-${index}`), index);
    for (let index = 0; index < count / 2; index++) await append(index);
    const seen: number[] = [];
    const done = Promise.withResolvers<void>();
    let inside = 0;
    const subscription = await log.subscribe(1, async ({ revision }) => {
      inside += 1;
      expect(inside).toBe(1);
      await Promise.resolve();
      inside -= 1;
      seen.push(revision);
      if (revision === count) done.resolve();
    });
    for (let index = count / 2; index < count; index++) await append(index);
    await Promise.race([done.promise, subscription.closed]);
    expect(seen).toEqual(Array.from({ length: count }, (_, index) => index + 1));
    subscription.stop();
    await subscription.closed;
  });

  test("subscribe from a revision leaves out what came before, also when that revision is still to come", async () => {
    const { log } = await make();
    await mustAppend(log, sampleChange("shop", "a"), 0);
    const seen: number[] = [];
    const done = Promise.withResolvers<void>();
    const subscription = await log.subscribe(3, ({ revision }) => {
      seen.push(revision);
      if (revision === 4) done.resolve();
    });
    await mustAppend(log, sampleChange("shop", "b"), 1);
    await mustAppend(log, sampleChange("shop", "c"), 2);
    await mustAppend(log, sampleChange("shop", "d"), 3);
    await Promise.race([done.promise, subscription.closed]);
    expect(seen).toEqual([3, 4]);
    subscription.stop();
    await subscription.closed;
  });

  test("a stopped subscription delivers nothing more", async () => {
    const { log } = await make();
    const seen: number[] = [];
    const first = Promise.withResolvers<void>();
    const subscription = await log.subscribe(1, ({ revision }) => {
      seen.push(revision);
      first.resolve();
    });
    await mustAppend(log, sampleChange("shop", "a"), 0);
    await first.promise;
    subscription.stop();
    await subscription.closed;
    await mustAppend(log, sampleChange("shop", "b"), 1);
    expect(await namesRead(log)).toHaveLength(2);
    expect(seen).toEqual([1]);
  });

  test("a change that cannot be understood ends the subscription with the fault", async () => {
    const { log, appendBytes } = await make();
    await mustAppend(log, sampleChange("shop", "a"), 0);
    const seen: number[] = [];
    const subscription = await log.subscribe(1, ({ revision }) => void seen.push(revision));
    const fault = subscription.closed.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    await appendBytes("shop", new TextEncoder().encode("{"));
    expect(await fault).toBeInstanceOf(LogCorruption);
    expect(seen).toEqual([1]);
  });

  test("a consumer that throws ends the subscription with its fault", async () => {
    const { log } = await make();
    const subscription = await log.subscribe(1, () => Promise.reject(new Error("projection failed")));
    const fault = subscription.closed.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    await mustAppend(log, sampleChange("shop", "a"), 0);
    expect(String(await fault)).toContain("projection failed");
  });
}
