/** Values larger than a message, in a real bucket. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { directReader, openBucket } from "../../src/nats/buckets.ts";
import type { Bucket } from "../../src/nats/bus.ts";
import { largeValues } from "../../src/nats/large-values.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { CHECKPOINT_BUCKET } from "../../src/nats/subjects.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const PART = 1_000;
const SIZES = [0, 1, PART, PART + 1, 2 * PART, 9 * PART + 7];

let nats: TestNats;
let control: NatsBus;
let plain: Bucket;
let large: Bucket;

beforeAll(async () => {
  nats = await startTestNats();
  control = (await nats.connectControl()).bus;
  plain = await openBucket(control, CHECKPOINT_BUCKET);
  large = largeValues(plain, { partBytes: PART });
});
afterAll(() => nats.stop());

const read = async (key: string): Promise<Buffer> => Buffer.from((await large.get(key))?.value ?? []);

test("a value comes back as it was, whatever its size and whatever was there before", async () => {
  for (const size of [...SIZES, ...SIZES.toReversed()]) {
    const value = randomBytes(size);
    await large.put("mesh.1", value);
    expect(await read("mesh.1")).toEqual(value);
  }
});

test("what is more than the server takes as one message is kept, and an operator may read it", async () => {
  const whole = largeValues(plain);
  const bytes = randomBytes((control.client.info?.max_payload ?? 0) + 1);
  await expect(plain.put("mesh.2", bytes)).rejects.toThrow();
  await whole.put("mesh.2", bytes);
  const { bus } = await nats.connect(await nats.mintOperator({ name: "eve", role: "viewer", namespaces: [] }));
  const reader = largeValues(directReader(bus, CHECKPOINT_BUCKET));
  expect(Buffer.from((await reader.get("mesh.2"))?.value ?? []).equals(bytes)).toBe(true);
}, 30_000);

test("while a value is written, the one before is read", async () => {
  const [first, second] = [randomBytes(3 * PART), randomBytes(4 * PART)];
  await large.put("mesh.3", first);
  // Ends before the own key is written, as a process that is killed does.
  const cut: Bucket = {
    ...plain,
    put: async (key, value) => (key === "mesh.3" ? Promise.reject(new Error("killed")) : plain.put(key, value)),
  };
  await expect(largeValues(cut, { partBytes: PART }).put("mesh.3", second)).rejects.toThrow("killed");
  expect(await read("mesh.3")).toEqual(first);
  await large.put("mesh.3", second);
  expect(await read("mesh.3")).toEqual(second);
});

test("a value of which a part is missing or another one is none, and nothing like it", async () => {
  const value = randomBytes(3 * PART);
  await large.put("mesh.4", value);
  await plain.put("mesh.4.part-a-1", randomBytes(PART));
  expect((await read("mesh.4")).length).toBeLessThan(PART);
  await plain.delete("mesh.4.part-a-1");
  expect((await read("mesh.4")).length).toBeLessThan(PART);
});

test("a value that is deleted goes with its parts, and one that is too large is refused", async () => {
  await large.put("mesh.5", randomBytes(3 * PART));
  await large.put("mesh.5", randomBytes(5 * PART));
  await large.delete("mesh.5");
  const left = (await plain.entries()).filter(({ key }) => key.startsWith("mesh.5"));
  expect(left).toEqual([]);
  await expect(large.put("mesh.5", randomBytes(129 * PART))).rejects.toThrow("parts");
});
