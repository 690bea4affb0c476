/**
 * Values of a bucket that may be larger than one message: what does not fit is kept in parts, under keys beside its
 * own, and its own key holds their number and digest. Parts are written first, into one of two sets in turn, so that a
 * reader meanwhile gets the previous value; parts that do not match the digest are no value.
 */

import { createHash } from "node:crypto";
import { z } from "zod";
import { parseJson } from "../policy/json.ts";
import type { Bucket, Entry } from "./bus.ts";

/** Half of what a message may be where nobody says otherwise (1 MiB), so that servers with less room take them too. */
const PART_BYTES = 512 * 1024;
/** 64 MiB: above the checkpoint of any mesh, and little to hold at once. */
const PARTS_MAX = 128;
/** Parts under way at once. */
const PARTS_AT_ONCE = 8;

/** What an own key begins with whose value is in parts; no other value of this program does. */
const HEAD = "heddle-parts:";

const head = z.strictObject({
  parts: z.int().min(1).max(PARTS_MAX),
  set: z.enum(["a", "b"]),
  /** SHA-256 of the whole, lower-case hex. */
  digest: z.string(),
});
type Head = z.infer<typeof head>;

export interface LargeValueOptions {
  readonly partBytes?: number;
}

/** The same bucket, of which `get` and `put` know values in parts. A value that is not whole is read as it stands. */
export function largeValues<B extends Pick<Bucket, "get">>(
  bucket: B,
  { partBytes = PART_BYTES }: LargeValueOptions = {},
): B {
  const get = async (key: string): Promise<Entry | undefined> => {
    const entry = await bucket.get(key);
    const described = entry && readHead(entry.value);
    if (described === undefined) return entry;
    const value = await readParts(bucket, key, described);
    return value === undefined ? entry : { ...entry, key, value, revision: entry?.revision ?? 0 };
  };
  if (!isWritable(bucket)) return { ...bucket, get };
  const put = async (key: string, value: Uint8Array): Promise<number> => {
    if (value.length <= partBytes) return bucket.put(key, value);
    const parts = Math.ceil(value.length / partBytes);
    if (parts > PARTS_MAX) throw new RangeError(`${value.length} bytes are more than ${PARTS_MAX} parts hold`);
    const before = await bucket.get(key);
    const set = (before && readHead(before.value)?.set) === "a" ? "b" : "a";
    await inTurns(parts, (at) =>
      bucket.put(partKey(key, set, at), value.subarray(at * partBytes, (at + 1) * partBytes)),
    );
    const text = `${HEAD}${JSON.stringify({ parts, set, digest: digestOf(value) } satisfies Head)}`;
    return bucket.put(key, new TextEncoder().encode(text));
  };
  const remove = async (key: string): Promise<void> => {
    const described = readHead((await bucket.get(key))?.value ?? new Uint8Array());
    await bucket.delete(key);
    const keys = (["a", "b"] as const).map((set) => (at: number) => partKey(key, set, at));
    for (const keyOf of described === undefined ? [] : keys) {
      for (let at = 0; (await bucket.get(keyOf(at))) !== undefined; at++) await bucket.delete(keyOf(at));
    }
  };
  return { ...bucket, get, put, delete: remove };
}

function isWritable(bucket: Pick<Bucket, "get">): bucket is Pick<Bucket, "get" | "put" | "delete"> {
  return "put" in bucket;
}

function partKey(key: string, set: Head["set"], at: number): string {
  return `${key}.part-${set}-${at}`;
}

function readHead(value: Uint8Array): Head | undefined {
  // Longer than any of them.
  if (value.length > 256) return undefined;
  const text = new TextDecoder().decode(value);
  if (!text.startsWith(HEAD)) return undefined;
  return head.safeParse(parseJson(text.slice(HEAD.length))).data;
}

async function readParts(
  bucket: Pick<Bucket, "get">,
  key: string,
  { parts, set, digest }: Head,
): Promise<Uint8Array | undefined> {
  const found: Uint8Array[] = [];
  await inTurns(parts, async (at) => {
    found[at] = (await bucket.get(partKey(key, set, at)))?.value ?? new Uint8Array();
  });
  const value = Buffer.concat(found);
  return digestOf(value) === digest ? value : undefined;
}

async function inTurns(parts: number, run: (at: number) => Promise<unknown>): Promise<void> {
  for (let start = 0; start < parts; start += PARTS_AT_ONCE) {
    const length = Math.min(PARTS_AT_ONCE, parts - start);
    await Promise.all(Array.from({ length }, (_, index) => run(start + index)));
  }
}

function digestOf(value: Uint8Array): string {
  return createHash("sha256").update(value).digest("hex");
}
