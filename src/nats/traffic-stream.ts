/** The traffic ledger's stream: bounded in age and size, the oldest going first, and read without consumers. */

import { DiscardPolicy, NatsError, nanos, RetentionPolicy, StorageType } from "nats";
import { addStream } from "./add-stream.ts";
import type { NatsBus } from "./connection.ts";
import { getMessage, type StoredMessage } from "./stream-client.ts";
import { subjects, TRAFFIC_STREAM } from "./subjects.ts";

const DAY_MS = 24 * 3_600_000;

export interface TrafficBounds {
  /** Calls are forgotten after this long. */
  readonly ageMaxMs: number;
  /** Whatever their age, beyond so many bytes the oldest go. */
  readonly bytesMax: number;
}

/** A week, in what one volume of a small machine can spare. */
const TRAFFIC_BOUNDS: TrafficBounds = { ageMaxMs: 7 * DAY_MS, bytesMax: 1024 * 1024 * 1024 };

/** JetStream's error code: the stream may grow to more than the server has room for. */
const STORAGE_EXCEEDED = 10_047;
/** In less, there is no ledger of traffic worth the name, and too little room for the other streams as well. */
const BYTES_MIN = 16 * 1024 * 1024;

/**
 * Makes the stream where there is none; one that an administrator made or changed stays as it is. Where the disk has no
 * room for all that it may hold, it is made to hold less: nobody should have to do without a mesh for its statistics.
 */
export async function ensureTrafficStream(
  bus: NatsBus,
  { replicas = 1, bounds = TRAFFIC_BOUNDS }: { readonly replicas?: number; readonly bounds?: TrafficBounds } = {},
): Promise<void> {
  const manager = await bus.client.jetstreamManager({ checkAPI: false });
  for (let bytesMax = bounds.bytesMax; ; bytesMax = Math.floor(bytesMax / 2)) {
    try {
      await addStream(manager.streams, {
        name: TRAFFIC_STREAM,
        subjects: [subjects.allTraffic],
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        max_age: nanos(bounds.ageMaxMs),
        max_bytes: bytesMax,
        discard: DiscardPolicy.Old,
        allow_direct: true,
        num_replicas: replicas,
      });
      return;
    } catch (error) {
      const code = error instanceof NatsError ? error.jsError()?.err_code : undefined;
      if (code !== STORAGE_EXCEEDED) throw error;
      if (bytesMax < 2 * BYTES_MIN) throw new Error(NO_ROOM, { cause: error });
    }
  }
}

const NO_ROOM =
  "NATS has no room for its streams, not even a few megabytes: make some on its disk, or raise its max_file_store";

/** Direct gets under way at once. */
const WIDTH = 512;

/**
 * The summaries that were stored last, oldest first and back to the first for which `isEarly` does not hold any more,
 * found by halving. What is forgotten while it is read is left out. Rejects when the stream is out of reach.
 */
export async function* readTraffic(
  bus: NatsBus,
  isEarly: (message: StoredMessage) => boolean,
): AsyncGenerator<StoredMessage> {
  const first = await getMessage(bus, TRAFFIC_STREAM, { seq: 1, next_by_subj: subjects.allTraffic });
  const last = await getMessage(bus, TRAFFIC_STREAM, { last_by_subj: subjects.allTraffic });
  if (first === undefined || last === undefined) return;
  const from = await firstLate(bus, first.sequence, last.sequence, isEarly);
  for (let start = from; start <= last.sequence; start += WIDTH) {
    const length = Math.min(WIDTH, last.sequence - start + 1);
    const pieces = await Promise.all(
      Array.from({ length }, (_, index) => getMessage(bus, TRAFFIC_STREAM, { seq: start + index })),
    );
    for (const message of pieces) if (message !== undefined) yield message;
  }
}

async function firstLate(
  bus: NatsBus,
  first: number,
  last: number,
  isEarly: (message: StoredMessage) => boolean,
): Promise<number> {
  let [low, high] = [first, last];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const message = await getMessage(bus, TRAFFIC_STREAM, { seq: middle, next_by_subj: subjects.allTraffic });
    if (message !== undefined && isEarly(message)) low = middle + 1;
    else high = middle;
  }
  return low;
}
