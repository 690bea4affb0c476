/** The ledger's stream: how it must be, and that it is. */

import { isDeepStrictEqual } from "node:util";
import { DiscardPolicy, NatsError, nanos, RetentionPolicy, StorageType, type StreamConfig } from "nats";
import { addStream } from "./add-stream.ts";
import type { NatsBus } from "./nats-bus.ts";
import { EVENT_STREAM, subjects } from "./subjects.ts";

/**
 * How long the stream knows a change by its id, so that asking again after a lost answer is harmless. Appending stops
 * asking long before.
 */
const DUPLICATE_WINDOW_MS = 120_000;

const STREAM_NOT_FOUND = 10_059;

/** A stream of that name exists and is not what the mesh relies on. */
export class StreamMismatch extends Error {
  override readonly name = "StreamMismatch";
}

export interface EventStreamOptions {
  /** 1 (the default) on one server, 3 or 5 in a cluster. Only looked at when the stream is made. */
  readonly replicas?: number;
}

/** Never a limit, never a deletion: the server itself refuses to rewrite history. */
const LEDGER = {
  subjects: [subjects.allEvents],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  max_msgs: -1,
  max_bytes: -1,
  max_age: 0,
  max_msgs_per_subject: -1,
  // With no limits nothing is discarded; should somebody add one, a full ledger refuses rather than forgets.
  discard: DiscardPolicy.New,
  deny_delete: true,
  deny_purge: true,
  allow_rollup_hdrs: false,
  allow_direct: true,
  // Said once stored. Headers only: followers read the change itself from the stream.
  republish: { src: subjects.allEvents, dest: subjects.allRecorded, headers_only: true },
} satisfies Partial<StreamConfig>;

/** Makes the ledger's stream, or rejects with `StreamMismatch` where there is one that could lose or change history. */
export async function ensureEventStream(bus: NatsBus, options: EventStreamOptions = {}): Promise<void> {
  const manager = await bus.client.jetstreamManager({ checkAPI: false });
  let config = await existingConfig(() => manager.streams.info(EVENT_STREAM));
  if (config === undefined) {
    const made = await addStream(manager.streams, {
      ...LEDGER,
      name: EVENT_STREAM,
      num_replicas: options.replicas ?? 1,
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    });
    if (made) return;
    // Somebody else was faster, with other settings.
    config = (await manager.streams.info(EVENT_STREAM)).config;
  }
  const found = config;
  const differences = Object.entries(LEDGER)
    .filter(([field, wanted]) => !isDeepStrictEqual(Reflect.get(found, field) ?? unset(wanted), wanted))
    .map(
      ([field, wanted]) => `${field} is ${JSON.stringify(Reflect.get(found, field))}, not ${JSON.stringify(wanted)}`,
    );
  if (found.duplicate_window < nanos(DUPLICATE_WINDOW_MS)) {
    differences.push(`duplicate_window is shorter than ${DUPLICATE_WINDOW_MS / 1000} s`);
  }
  if (differences.length > 0) {
    throw new StreamMismatch(`stream ${EVENT_STREAM} exists and cannot be the ledger: ${differences.join("; ")}`);
  }
}

/** The server leaves out fields at their zero value. */
function unset(wanted: unknown): unknown {
  return wanted === false ? false : undefined;
}

async function existingConfig(info: () => Promise<{ config: StreamConfig }>): Promise<StreamConfig | undefined> {
  try {
    return (await info()).config;
  } catch (error) {
    if (error instanceof NatsError && error.jsError()?.err_code === STREAM_NOT_FOUND) return undefined;
    throw error;
  }
}
