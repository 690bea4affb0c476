import { afterAll, beforeAll, expect, test } from "bun:test";
import { openBucket } from "../../src/nats/buckets.ts";
import type { Bucket } from "../../src/nats/bus.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { bucketStream } from "../../src/nats/permissions.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array | undefined): string | undefined => data && new TextDecoder().decode(data);

let nats: TestNats;
let bus: NatsBus;
let made = 0;
beforeAll(async () => {
  nats = await startTestNats();
  bus = (await nats.connectControl()).bus;
});
afterAll(() => nats.stop());

async function emptyBucket(): Promise<{ name: string; bucket: Bucket }> {
  made += 1;
  const name = `bucket-${made}`;
  return { name, bucket: await openBucket(bus, name) };
}

test("a key is absent, then has the last value put, then is absent again", async () => {
  const { bucket } = await emptyBucket();
  expect(await bucket.get("shop.web")).toBeUndefined();
  const first = await bucket.put("shop.web", bytes("one"));
  const second = await bucket.put("shop.web", bytes("two"));
  expect(second).toBeGreaterThan(first);
  expect(await bucket.get("shop.web")).toEqual({ key: "shop.web", value: bytes("two"), revision: second });
  await bucket.delete("shop.web");
  expect(await bucket.get("shop.web")).toBeUndefined();
  expect(await bucket.entries()).toEqual([]);
});

test("an empty value is a value", async () => {
  const { bucket } = await emptyBucket();
  const revision = await bucket.put("empty", new Uint8Array());
  expect(await bucket.get("empty")).toEqual({ key: "empty", value: new Uint8Array(), revision });
});

test("update writes only on top of the revision that it names", async () => {
  const { bucket } = await emptyBucket();
  const first = await bucket.update("key", bytes("one"), 0);
  expect(first).toBeNumber();
  expect(await bucket.update("key", bytes("also one"), 0)).toBeUndefined();
  const second = await bucket.update("key", bytes("two"), first ?? 0);
  expect(await bucket.update("key", bytes("late"), first ?? 0)).toBeUndefined();
  expect(await bucket.get("key")).toMatchObject({ value: bytes("two"), revision: second });
});

test("a deleted key counts as absent to update", async () => {
  const { bucket } = await emptyBucket();
  await bucket.put("key", bytes("one"));
  await bucket.delete("key");
  expect(await bucket.update("key", bytes("again"), 0)).toBeNumber();
  expect(text((await bucket.get("key"))?.value)).toBe("again");
});

test("of concurrent updates of one key exactly one is made", async () => {
  const { bucket } = await emptyBucket();
  const other = await openBucket((await nats.connectControl()).bus, "bucket-contended");
  const same = await openBucket(bus, "bucket-contended");
  const writers = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? other : same));
  const results = await Promise.all(writers.map((writer, index) => writer.update("key", bytes(`${index}`), 0)));
  expect(results.filter((revision) => revision !== undefined)).toHaveLength(1);
  expect(await bucket.get("key")).toBeUndefined();
});

test("entries are the last values of all keys", async () => {
  const { bucket } = await emptyBucket();
  for (let index = 0; index < 30; index++) await bucket.put(`ns.svc-${index % 10}`, bytes(`${index}`));
  await bucket.delete("ns.svc-3");
  const entries = (await bucket.entries()).map(({ key, value }) => [key, text(value)]);
  const expected = [0, 1, 2, 4, 5, 6, 7, 8, 9].map((index) => [`ns.svc-${index}`, `${index + 20}`]);
  expect(entries).toEqual(expected);
});

test("nothing that is no key reaches the server", async () => {
  const { bucket } = await emptyBucket();
  for (const key of ["", "*", "a.>", "a..b", "a b", ".a", "a.", "a\r\nPUB x 0"]) {
    await expect(bucket.get(key)).rejects.toThrow(RangeError);
    await expect(bucket.put(key, bytes("x"))).rejects.toThrow(RangeError);
  }
});

test("a bucket can be opened again, also when its bounds were changed since", async () => {
  const { name, bucket } = await emptyBucket();
  await bucket.put("key", bytes("kept"));
  const manager = await bus.client.jetstreamManager();
  await manager.streams.update(bucketStream(name), { max_bytes: 1_000_000 });
  expect(text((await (await openBucket(bus, name)).get("key"))?.value)).toBe("kept");
});

test("the common tools read what we write, and we what they write", async () => {
  const { name, bucket } = await emptyBucket();
  const view = await bus.client.jetstream().views.kv(name);
  await bucket.put("ours", bytes("1"));
  expect((await view.get("ours"))?.string()).toBe("1");
  await view.put("theirs", "2");
  expect(text((await bucket.get("theirs"))?.value)).toBe("2");
  await view.purge("theirs");
  expect(await bucket.get("theirs")).toBeUndefined();
  await bucket.delete("ours");
  expect((await view.get("ours"))?.operation).toBe("DEL");
});
