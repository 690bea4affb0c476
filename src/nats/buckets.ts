/**
 * Keyed durable values: JetStream's key-value layout (ADR-8), so that `nats kv` reads them, with a history of one.
 * Reading is one direct get, whose request subject holds the key, and needs no other permission than that subject.
 */

import { DiscardPolicy, RetentionPolicy, StorageType } from "nats";
import { addStream } from "./add-stream.ts";
import type { Bucket, Entry } from "./bus.ts";
import type { NatsBus } from "./nats-bus.ts";
import { bucketStream, bucketSubject, directGetSubject } from "./permissions.ts";
import { appendMessage, directGet, getMessage, type StoredMessage } from "./stream-client.ts";

/** Characters of a key (ADR-8); anything else could name more than one key, or none. */
const KEY = /^[-/_=A-Za-z0-9]+(?:\.[-/_=A-Za-z0-9]+)*$/;

/** What a bucket's value is removed with. */
const DELETE_MARKER = { "KV-Operation": "DEL" };

export interface BucketOptions {
  /** 1 by default. Only looked at when the bucket is made. */
  readonly replicas?: number;
  /** Bytes that all values together may take; no bound by default. */
  readonly bytesMax?: number;
}

/** The reading half of a bucket: all that a sidecar may do. */
export type BucketReader = Pick<Bucket, "get">;

/** A bucket to read single keys of, by credentials that allow no more. Makes no request of its own. */
export function directReader(bus: NatsBus, name: string): BucketReader {
  return { get: (key) => getEntry(bus, name, key) };
}

/** Opens a bucket, making it where there is none. For control replicas. */
export async function openBucket(bus: NatsBus, name: string, options: BucketOptions = {}): Promise<Bucket> {
  await ensureBucket(bus, name, options);
  const put = async (key: string, value: Uint8Array): Promise<number> => {
    const outcome = await appendMessage(bus, { subject: keySubject(name, key), data: value });
    if (outcome.kind === "conflict") throw new Error(`${name}: an unconditional write of ${key} was refused`);
    return outcome.sequence;
  };
  return {
    get: (key) => getEntry(bus, name, key),
    put,
    update: (key, value, expected) => updateEntry(bus, name, key, value, expected),
    delete: async (key) => {
      await appendMessage(bus, { subject: keySubject(name, key), data: new Uint8Array(), headers: DELETE_MARKER });
    },
    entries: () => listEntries(bus, name),
  };
}

async function ensureBucket(bus: NatsBus, name: string, options: BucketOptions): Promise<void> {
  const manager = await bus.client.jetstreamManager({ checkAPI: false });
  // An administrator may have given it more replicas or a bound since: that is theirs to choose.
  await addStream(manager.streams, {
    name: bucketStream(name),
    subjects: [bucketSubject(name, ">")],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    max_msgs_per_subject: 1,
    max_bytes: options.bytesMax ?? -1,
    discard: DiscardPolicy.New,
    deny_delete: true,
    allow_rollup_hdrs: true,
    allow_direct: true,
    num_replicas: options.replicas ?? 1,
  });
}

async function getEntry(bus: NatsBus, bucket: string, key: string): Promise<Entry | undefined> {
  const message = await directGet(bus, directGetSubject(bucket, checkedKey(key)));
  return message === undefined ? undefined : toEntry(bucket, message);
}

async function updateEntry(
  bus: NatsBus,
  bucket: string,
  key: string,
  value: Uint8Array,
  expected: number,
): Promise<number | undefined> {
  const subject = keySubject(bucket, key);
  const outcome = await appendMessage(bus, { subject, data: value, expected });
  if (outcome.kind === "stored") return outcome.sequence;
  if (expected !== 0) return undefined;
  // An absent key may have a deletion marker, whose sequence is then what to expect.
  const last = await getMessage(bus, bucketStream(bucket), { last_by_subj: subject });
  if (last === undefined || last.operation === "") return undefined;
  const again = await appendMessage(bus, { subject, data: value, expected: last.sequence });
  return again.kind === "stored" ? again.sequence : undefined;
}

async function listEntries(bus: NatsBus, bucket: string): Promise<Entry[]> {
  const entries = new Map<string, Entry>();
  for (let seq = 1; ; ) {
    const message = await getMessage(bus, bucketStream(bucket), { seq, next_by_subj: bucketSubject(bucket, ">") });
    if (message === undefined) return [...entries.values()];
    const entry = toEntry(bucket, message);
    // A key written while we walk turns up again, further on; so may its deletion.
    if (entry === undefined) entries.delete(keyOf(bucket, message));
    else entries.set(entry.key, entry);
    seq = message.sequence + 1;
  }
}

function toEntry(bucket: string, message: StoredMessage): Entry | undefined {
  if (message.operation !== "") return undefined;
  return { key: keyOf(bucket, message), value: message.data, revision: message.sequence };
}

function keyOf(bucket: string, message: StoredMessage): string {
  return message.subject.slice(bucketSubject(bucket, "").length);
}

function keySubject(bucket: string, key: string): string {
  return bucketSubject(bucket, checkedKey(key));
}

function checkedKey(key: string): string {
  if (!KEY.test(key)) throw new RangeError(`not a key of a bucket: ${JSON.stringify(key)}`);
  return key;
}
