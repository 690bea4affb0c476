import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { encodeChange } from "../../src/events/chain.ts";
import { openEventLog, readEventLog } from "../../src/events/jetstream-log.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { appendMessage } from "../../src/nats/stream-client.ts";
import { EVENT_STREAM, subjects } from "../../src/nats/subjects.ts";
import { eventLogContract, type LogUnderTest, mustAppend, sampleChange } from "../contracts/event-log.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

async function emptyLog(): Promise<LogUnderTest> {
  const nats = await startTestNats();
  const { bus } = await nats.connectControl();
  return {
    log: await openEventLog(bus),
    appendBytes: (namespace, data) => appendMessage(bus, { subject: subjects.events(namespace), data }),
    dispose: () => nats.stop(),
  };
}

eventLogContract("the JetStream log", emptyLog);

describe("the JetStream log", () => {
  let nats: TestNats;
  let bus: NatsBus;
  beforeAll(async () => {
    nats = await startTestNats();
    bus = (await nats.connectControl()).bus;
  });
  afterAll(() => nats.stop());

  /** Appends `count` changes to a namespace of the test's own, after `from`. */
  async function fill(namespace: string, count: number): Promise<number[]> {
    const log = await openEventLog(bus);
    const revisions: number[] = [];
    for (let index = 0; index < count; index++) {
      const { revision } = await mustAppend(log, sampleChange(namespace, `svc-${index}`), revisions.at(-1) ?? 0);
      revisions.push(revision);
    }
    return revisions;
  }

  test("reads a namespace among others, over more than one piece, to the end asked for", async () => {
    const [shop, bank] = await Promise.all([fill("many-a", 300), fill("many-b", 300)]);
    const log = await openEventLog(bus);
    const revisions = async (namespace: string, to?: number): Promise<number[]> => {
      const range = to === undefined ? { namespace } : { namespace, to };
      return (await Array.fromAsync(log.read(range))).map(({ revision }) => revision);
    };
    expect(await revisions("many-a")).toEqual(shop);
    expect(await revisions("many-b")).toEqual(bank);
    expect(await revisions("many-a", shop[150])).toEqual(shop.slice(0, 151));
  });

  test("a reader may leave in the middle", async () => {
    await fill("left", 10);
    for await (const { revision } of (await openEventLog(bus)).read()) {
      if (revision === 3) break;
    }
    expect(await (await openEventLog(bus)).lastRevision()).toBeGreaterThanOrEqual(10);
  });

  test("an operator reads and follows by reading only", async () => {
    const viewer = await nats.connect(await nats.mintOperator({ name: "vi", role: "viewer", namespaces: [] }));
    const [first = 0, second = 0] = await fill("watched", 2);
    const log = readEventLog(viewer.bus);
    const third = Promise.withResolvers<number>();
    const seen: string[] = [];
    const subscription = await log.subscribe(first, ({ namespace, revision, change }) => {
      if (namespace !== "watched") return;
      seen.push(change.data.reason);
      if (seen.length === 3) third.resolve(revision);
    });
    const writer = await openEventLog(bus);
    const result = await mustAppend(writer, sampleChange("watched", "later"), second);
    expect(await third.promise).toBe(result.revision);
    expect(seen).toEqual(["declare svc-0", "declare svc-1", "declare later"]);
    subscription.stop();
    await subscription.closed;
    expect(viewer.errors).toEqual([]);
  });

  test("of appenders on two connections each revision is won once, and nothing is lost", async () => {
    const other = (await nats.connectControl()).bus;
    const won = await Promise.all([bus, other].map((connection, index) => race(connection, `racer-${index}`, 20)));
    const all = won.flat().sort((a, b) => a - b);
    const log = await openEventLog(bus);
    const stored = (await Array.fromAsync(log.read({ namespace: "raced" }))).map(({ revision }) => revision);
    expect(won.map((revisions) => revisions.length)).toEqual([20, 20]);
    expect(stored).toEqual(all);
  });

  async function race(connection: NatsBus, name: string, count: number): Promise<number[]> {
    const log = await openEventLog(connection);
    const won: number[] = [];
    let expected = 0;
    while (won.length < count) {
      const result = await log.append(sampleChange("raced", `${name}-${won.length}`), expected);
      if (result.ok) won.push(result.value.revision);
      expected = result.ok ? result.value.revision : (result.error.lastRevision ?? expected);
    }
    return won;
  }

  test("bytes stored under another namespace than they name stop the reader", async () => {
    const data = new TextEncoder().encode(JSON.stringify(sampleChange("honest", "x")));
    const misplaced = await startTestNats();
    try {
      const control = (await misplaced.connectControl()).bus;
      const log = await openEventLog(control);
      await appendMessage(control, { subject: subjects.events("elsewhere"), data });
      await expect(Array.fromAsync(log.read())).rejects.toThrow("revision 1: says that it is of honest");
    } finally {
      await misplaced.stop();
    }
  });

  test("a stream that could forget is refused as a ledger", async () => {
    const lax = await startTestNats();
    try {
      const { bus: control } = await lax.connectControl();
      const manager = await control.client.jetstreamManager();
      await manager.streams.add({ name: EVENT_STREAM, subjects: [subjects.allEvents], max_msgs: 10 });
      await expect(openEventLog(control)).rejects.toThrow(/max_msgs is 10, not -1.*deny_delete is false, not true/);
    } finally {
      await lax.stop();
    }
  });
});

describe("the JetStream log through a crash of the server", () => {
  let nats: TestNats;
  afterEach(() => nats.stop());

  test("every acknowledged change is there afterwards, and a subscription goes on without gap or repeat", async () => {
    nats = await startTestNats();
    const { bus } = await nats.connectControl();
    const log = await openEventLog(bus);
    const seen: number[] = [];
    const last = Promise.withResolvers<void>();
    const subscription = await log.subscribe(1, ({ revision }) => {
      seen.push(revision);
      if (revision === 60) last.resolve();
    });
    const append = (index: number) => mustAppend(log, sampleChange("shop", `svc-${index}`), index);
    for (let index = 0; index < 30; index++) await append(index);
    await nats.kill9();
    const duringOutage = append(30);
    await nats.restart();
    await duringOutage;
    for (let index = 31; index < 60; index++) await append(index);
    await Promise.race([last.promise, subscription.closed]);
    const everything = Array.from({ length: 60 }, (_, index) => index + 1);
    expect(seen).toEqual(everything);
    expect((await Array.fromAsync(log.read())).map(({ revision }) => revision)).toEqual(everything);
    subscription.stop();
    await subscription.closed;
  }, 30_000);

  test("an append whose answer is lost is told from one that was lost itself", async () => {
    nats = await startTestNats();
    const { bus } = await nats.connectControl();
    const log = await openEventLog(bus);
    const change = sampleChange("shop", "web");
    // Stored, and the server dies before anybody hears of it.
    const request = { subject: subjects.events("shop"), data: encodeChange(change), expected: 0, id: change.id };
    await appendMessage(bus, request);
    await nats.kill9();
    const appending = log.append(change, 0);
    await nats.restart();
    const result = await appending;
    expect(result).toMatchObject({ ok: true, value: { revision: 1 } });
    expect(await log.lastRevision()).toBe(1);
  }, 30_000);
});
