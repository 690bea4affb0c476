/** The traffic ledger's stream: bounded in age and size, the oldest going first, and read without consumers. */

import { DiscardPolicy, NatsError, nanos, RetentionPolicy, StorageType } from "nats";
import { addStream } from "./add-stream.ts";
import { RequestTimeout } from "./bus.ts";
import type { NatsBus } from "./nats-bus.ts";
import { getMessage, getMessages, type StoredMessage } from "./stream-client.ts";
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
/** Of direct gets, of which one at least has to be answered within two seconds. */
const ATTEMPTS_MAX = 5;

/** Sequences of the traffic ledger, inclusive. */
export interface TrafficRange {
  readonly from: number;
  readonly to: number;
}

/** What the ledger holds now; undefined: nothing. Rejects when the stream is out of reach. */
export async function trafficExtent(bus: NatsBus): Promise<TrafficRange | undefined> {
  const first = await getMessage(bus, TRAFFIC_STREAM, { seq: 1, next_by_subj: subjects.allTraffic });
  const last = await getMessage(bus, TRAFFIC_STREAM, { last_by_subj: subjects.allTraffic });
  return first === undefined || last === undefined ? undefined : { from: first.sequence, to: last.sequence };
}

/**
 * The summaries that were stored last, back to the first for which `isEarly` does not hold any more, found by halving.
 * Undefined where there are none. Rejects when the stream is out of reach.
 */
export async function recentTraffic(
  bus: NatsBus,
  isEarly: (message: StoredMessage) => boolean,
): Promise<TrafficRange | undefined> {
  const extent = await trafficExtent(bus);
  return extent && { from: await firstLate(bus, extent.from, extent.to, isEarly), to: extent.to };
}

/** Summaries of a range, oldest first. What is forgotten while it is read is left out. */
export async function* readTraffic(bus: NatsBus, { from, to }: TrafficRange): AsyncGenerator<StoredMessage> {
  for (let start = from; start <= to; start += WIDTH) {
    const length = Math.min(WIDTH, to - start + 1);
    for (const message of await certainly(bus, start, length)) if (message !== undefined) yield message;
  }
}

/** One summary; undefined where it is forgotten, or not there yet. */
export function trafficMessage(bus: NatsBus, sequence: number): Promise<StoredMessage | undefined> {
  return getMessage(bus, TRAFFIC_STREAM, { seq: sequence });
}

/** What was there a moment ago is asked for again where a busy machine has not answered. */
async function certainly(bus: NatsBus, from: number, count: number): Promise<(StoredMessage | undefined)[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await getMessages(bus, TRAFFIC_STREAM, from, count);
    } catch (error) {
      if (!(error instanceof RequestTimeout) || attempt === ATTEMPTS_MAX) throw error;
    }
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
