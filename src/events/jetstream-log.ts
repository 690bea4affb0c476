/** The event log on JetStream: the ledger of a running mesh. */

import { follow } from "../nats/follower.ts";
import type { NatsBus } from "../nats/nats-bus.ts";
import {
  appendMessage,
  getMessage,
  lastSequence,
  lastSequenceSeen,
  MissingMessage,
  readMessages,
  type StoredMessage,
} from "../nats/stream-client.ts";
import { type EventStreamOptions, ensureEventStream } from "../nats/streams.ts";
import { EVENT_STREAM, subjects } from "../nats/subjects.ts";
import { err, ok, type Result } from "../policy/result.ts";
import { encodeChange, recordedChange } from "./chain.ts";
import type { Change, RecordedChange } from "./change.ts";
import { type AppendConflict, type EventLog, LogCorruption, type LogSubscription, type ReadRange } from "./log.ts";

/** The ledger for a control replica; makes the stream where there is none. Rejects with `StreamMismatch`. */
export async function openEventLog(bus: NatsBus, options: EventStreamOptions = {}): Promise<EventLog> {
  await ensureEventStream(bus, options);
  return new JetstreamLog(bus, () => lastSequence(bus, EVENT_STREAM));
}

/**
 * The ledger for an operator, whose credentials allow reading only. Its end is the end as some replica of the stream
 * has it.
 */
export function readEventLog(bus: NatsBus): Omit<EventLog, "append"> {
  return new JetstreamLog(bus, () => lastSequenceSeen(bus, EVENT_STREAM));
}

/** What stands at a revision, unread; `bytes` is absent where there is nothing, though something follows. */
export interface StoredEntry {
  readonly revision: number;
  readonly subject: string;
  readonly bytes: Uint8Array | undefined;
}

/** The ledger as it is stored, damage included: for whoever proves or copies it. */
export async function* readStored(bus: NatsBus, from = 1): AsyncGenerator<StoredEntry> {
  const to = await lastSequenceSeen(bus, EVENT_STREAM);
  for (let next = from; next <= to; next++) {
    try {
      for await (const { sequence, subject, data } of readMessages(bus, EVENT_STREAM, { from: next, to })) {
        yield { revision: sequence, subject, bytes: data };
        next = sequence + 1;
      }
      return;
    } catch (error) {
      if (!(error instanceof MissingMessage)) throw error;
      // Pieces are fetched ahead, so that the hole may lie beyond what was read so far.
      for (; next < error.sequence; next++) yield* oneStored(bus, next);
      yield { revision: error.sequence, subject: "", bytes: undefined };
    }
  }
}

/** What stands at one revision; undefined: nothing. */
export async function storedAt(bus: NatsBus, revision: number): Promise<StoredEntry | undefined> {
  const message = await getMessage(bus, EVENT_STREAM, { seq: revision });
  return message && { revision, subject: message.subject, bytes: message.data };
}

async function* oneStored(bus: NatsBus, revision: number): AsyncGenerator<StoredEntry> {
  for await (const { subject, data } of readMessages(bus, EVENT_STREAM, { from: revision, to: revision })) {
    yield { revision, subject, bytes: data };
  }
}

/**
 * Appends the bytes of a change that another ledger held, to a ledger that is being copied. Resolves with the revision;
 * undefined where the namespace's last revision is not `expected`.
 */
export async function appendStored(
  bus: NatsBus,
  change: Pick<RecordedChange, "namespace" | "change">,
  bytes: Uint8Array,
  expected: number,
): Promise<number | undefined> {
  const subject = subjects.events(change.namespace);
  const outcome = await appendMessage(bus, { subject, data: bytes, expected, id: change.change.id });
  return outcome.kind === "stored" ? outcome.sequence : undefined;
}

class JetstreamLog implements EventLog {
  constructor(
    private readonly bus: NatsBus,
    readonly lastRevision: () => Promise<number>,
  ) {}

  async append(change: Change, expectedRevision: number): Promise<Result<RecordedChange, AppendConflict>> {
    const data = encodeChange(change);
    const outcome = await appendMessage(this.bus, {
      subject: subjects.events(change.subject),
      data,
      expected: expectedRevision,
      id: change.id,
    });
    if (outcome.kind === "conflict") return err({ kind: "conflict", lastRevision: outcome.lastSequence });
    return ok(recordedChange(data, outcome.sequence));
  }

  async *read(range: ReadRange = {}): AsyncGenerator<RecordedChange> {
    const from = Math.max(range.from ?? 1, 1);
    const end = await this.lastRevision();
    const to = Math.min(range.to ?? end, end);
    const subject = range.namespace === undefined ? {} : { subject: subjects.events(range.namespace) };
    for await (const message of readMessages(this.bus, EVENT_STREAM, { from, to, ...subject })) yield toChange(message);
  }

  async subscribe(from: number, onChange: (change: RecordedChange) => void | Promise<void>): Promise<LogSubscription> {
    return follow(this.bus, {
      stream: EVENT_STREAM,
      hints: subjects.allRecorded,
      from: Math.max(from, 1),
      lastSequence: this.lastRevision,
      onMessage: (message) => onChange(toChange(message)),
    });
  }
}

function toChange({ data, sequence, subject }: StoredMessage): RecordedChange {
  const recorded = recordedChange(data, sequence);
  if (subject === subjects.events(recorded.namespace)) return recorded;
  throw new LogCorruption(sequence, `says that it is of ${recorded.namespace}, but was stored as ${subject}`);
}
