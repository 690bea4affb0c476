/**
 * JetStream as this program uses it: one conditional append and reads by sequence. Reads are direct gets, many under
 * way at once, rather than consumers: they leave no state on the server, and a request is all that another account can
 * send. Measured on 2 cores against 2.9.10, with messages of 600 to 900 bytes: 60,000/s, where an ordered consumer gives
 * 140,000/s.
 */

import { headers, type Msg, NatsError } from "nats";
import { z } from "zod";
import { NoResponders, RequestTimeout } from "./bus.ts";
import type { NatsBus } from "./nats-bus.ts";
import { requestEach } from "./request-each.ts";

/** One request: long for an answer, short for noticing that the connection was lost with the request under way. */
const REQUEST_TIMEOUT_MS = 2_000;
/** Appending goes on asking this long when answers are lost. Far below the stream's duplicate window. */
const APPEND_TIMEOUT_MS = 20_000;
const RETRY_WAIT_MS = 100;
/** Messages fetched as one piece. */
const SEGMENT = 128;
/** Pieces under way at once: by sequence each holds `SEGMENT` requests, by subject one. */
const SEGMENTS_BY_SEQUENCE = 4;
const SEGMENTS_BY_SUBJECT = 32;
/** A replica that lags behind its leader is given this long to hold what the leader has acknowledged. */
const REPLICA_LAG_MAX_MS = 5_000;

/** JetStream's code (`err_code`) where the condition of an append does not hold. */
const WRONG_LAST_SEQUENCE = 10_071;
/** Its status for what may pass: no leader at the moment, no resources. */
const UNAVAILABLE = 503;

export interface AppendRequest {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Last sequence on the subject, 0 for none; absent: append whatever is there. */
  readonly expected?: number;
  /** Message id, so that a repeated request is known for one (`Nats-Msg-Id`). */
  readonly id?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type AppendOutcome =
  | { readonly kind: "stored"; readonly sequence: number }
  /** `lastSequence` is the subject's, where the server says so. */
  | { readonly kind: "conflict"; readonly lastSequence: number | undefined };

const refusal = z.object({
  error: z.object({ code: z.number(), err_code: z.number().optional(), description: z.string().default("") }),
});
const publishAnswer = z.union([refusal, z.object({ seq: z.int().min(1), duplicate: z.boolean().optional() })]);
const streamInfo = z.union([refusal, z.object({ state: z.object({ last_seq: z.int().min(0) }) })]);

/**
 * Appends one message if the subject's last sequence is as expected. With an `id`, a lost answer is resolved by asking
 * again: the stream then either stores the message or says that it already has. Rejects when no answer comes in time;
 * without an `id` at the first failure.
 */
export async function appendMessage(bus: NatsBus, request: AppendRequest): Promise<AppendOutcome> {
  const deadline = performance.now() + APPEND_TIMEOUT_MS;
  for (let attempt = 1; ; attempt++) {
    try {
      return await attemptAppend(bus, request, attempt);
    } catch (error) {
      const lost = error instanceof RequestTimeout || error instanceof NoResponders;
      if (request.id === undefined || !lost || performance.now() > deadline || bus.client.isClosed()) throw error;
    }
    await Bun.sleep(RETRY_WAIT_MS);
  }
}

async function attemptAppend(bus: NatsBus, request: AppendRequest, attempt: number): Promise<AppendOutcome> {
  const fields = headers();
  if (request.id !== undefined) fields.set("Nats-Msg-Id", request.id);
  if (request.expected !== undefined) fields.set("Nats-Expected-Last-Subject-Sequence", String(request.expected));
  for (const [name, value] of Object.entries(request.headers ?? {})) fields.set(name, value);
  const options = { timeout: REQUEST_TIMEOUT_MS, headers: fields };
  const message = await bus.requestMessage(request.subject, request.data, options);
  const answer = publishAnswer.parse(message.json());
  if ("error" in answer) {
    if (answer.error.err_code !== WRONG_LAST_SEQUENCE) throw refused(request.subject, answer);
    const last = /wrong last sequence: (\d+)/.exec(answer.error.description)?.[1];
    return { kind: "conflict", lastSequence: last === undefined ? undefined : Number(last) };
  }
  // A duplicate of our own lost attempt is stored; of anything earlier, somebody else came first.
  if (answer.duplicate === true && attempt === 1) return { kind: "conflict", lastSequence: undefined };
  return { kind: "stored", sequence: answer.seq };
}

function refused(subject: string, { error }: z.infer<typeof refusal>): Error {
  const message = `JetStream refuses ${subject}: ${error.description} (${error.code})`;
  return error.code === UNAVAILABLE ? new NoResponders(message) : new Error(message);
}

/** A message as the stream holds it. */
export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly data: Uint8Array;
  /** When the stream took it in: RFC 3339, to the nanosecond. */
  readonly storedAt: string;
  /** What a bucket's marker says (`DEL`, `PURGE`); empty for a value. */
  readonly operation: string;
}

/** Which message to get: one by sequence, the first from there on with a subject, or a subject's last. */
export type Selection = { readonly seq: number; readonly next_by_subj?: string } | { readonly last_by_subj: string };

/** Undefined when the replica that answers has no such message. */
export function getMessage(bus: NatsBus, stream: string, selection: Selection): Promise<StoredMessage | undefined> {
  return directGet(bus, `$JS.API.DIRECT.GET.${stream}`, JSON.stringify(selection));
}

/** Direct get (JetStream ADR-31) on a request subject of the caller's choice. */
export async function directGet(bus: NatsBus, subject: string, payload = ""): Promise<StoredMessage | undefined> {
  return storedMessage(await bus.requestMessage(subject, payload, { timeout: REQUEST_TIMEOUT_MS }), subject);
}

/** What the answer to a direct get holds. */
function storedMessage({ headers: fields, data }: Msg, subject: string): StoredMessage | undefined {
  if (fields?.code === 404) return undefined;
  const sequence = Number(fields?.get("Nats-Sequence"));
  if (fields === undefined || !Number.isSafeInteger(sequence) || sequence < 1) {
    throw new Error(`JetStream refuses ${subject}: ${fields?.status ?? "an answer without headers"}`);
  }
  return {
    sequence,
    subject: fields.get("Nats-Subject"),
    data,
    storedAt: fields.get("Nats-Time-Stamp"),
    operation: fields.get("KV-Operation"),
  };
}

/**
 * Messages by sequence, as many as `count` of them from one on; undefined in the place of each that the replica which
 * answers does not have.
 */
export async function getMessages(
  bus: NatsBus,
  stream: string,
  from: number,
  count: number,
): Promise<(StoredMessage | undefined)[]> {
  const subject = `$JS.API.DIRECT.GET.${stream}`;
  const requests = Array.from({ length: count }, (_, index) => JSON.stringify({ seq: from + index }));
  const answers = await requestEach(bus, subject, requests, REQUEST_TIMEOUT_MS);
  return answers.map((answer) => storedMessage(answer, subject));
}

/** The stream's last sequence as its leader has it; 0 when empty. For control replicas. */
export async function lastSequence(bus: NatsBus, stream: string): Promise<number> {
  const subject = `$JS.API.STREAM.INFO.${stream}`;
  const answer = streamInfo.parse((await bus.requestMessage(subject, "", { timeout: REQUEST_TIMEOUT_MS })).json());
  if ("error" in answer) throw refused(subject, answer);
  return answer.state.last_seq;
}

/** The same as some replica has it, which in a cluster may lag by milliseconds. For whoever has no more than reads. */
export async function lastSequenceSeen(bus: NatsBus, stream: string): Promise<number> {
  return (await getMessage(bus, stream, { last_by_subj: ">" }))?.sequence ?? 0;
}

/** A stream from which nothing is ever removed has a hole: somebody removed something. */
export class MissingMessage extends Error {
  override readonly name = "MissingMessage";
  constructor(
    stream: string,
    readonly sequence: number,
  ) {
    super(`${stream} has no message ${sequence}, though it has later ones`);
  }
}

export interface MessageRange {
  /** First sequence, inclusive. */
  readonly from: number;
  /** Last sequence, inclusive: one that the stream is known to have reached. */
  readonly to: number;
  readonly subject?: string;
}

/** Messages in order of sequence, of a stream from which nothing is ever removed. Rejects when it is out of reach. */
export async function* readMessages(bus: NatsBus, stream: string, range: MessageRange): AsyncGenerator<StoredMessage> {
  const { subject } = range;
  const fetch = (from: number, to: number): Promise<StoredMessage[]> =>
    // A replica may lag, and by subject it would just say that there is no more. So the end goes by sequence, where a
    // missing message is noticed.
    subject === undefined || to === range.to
      ? messagesBySequence(bus, stream, from, to)
      : messagesBySubject(bus, stream, subject, from, to);
  const width = subject === undefined ? SEGMENTS_BY_SEQUENCE : SEGMENTS_BY_SUBJECT;
  for await (const segment of inOrder(segments(range), width, fetch)) {
    for (const message of segment) if (subject === undefined || message.subject === subject) yield message;
  }
}

function* segments({ from, to }: MessageRange): Generator<[from: number, to: number]> {
  for (let start = from; start <= to; start += SEGMENT) yield [start, Math.min(start + SEGMENT - 1, to)];
}

/** Runs up to `width` fetches at once and yields their results in order. */
async function* inOrder<T>(
  ranges: Iterable<[number, number]>,
  width: number,
  fetch: (from: number, to: number) => Promise<T>,
): AsyncGenerator<T> {
  const underWay: Promise<T>[] = [];
  for (const [from, to] of ranges) {
    const fetching = fetch(from, to);
    // Its failure is told where it is awaited, or to nobody when the reader has left by then.
    fetching.catch(() => {});
    underWay.push(fetching);
    const oldest = underWay.length === width ? underWay.shift() : undefined;
    if (oldest !== undefined) yield await oldest;
  }
  for (const fetching of underWay) yield await fetching;
}

/** Every message of a range that the stream is known to hold. */
async function messagesBySequence(bus: NatsBus, stream: string, from: number, to: number): Promise<StoredMessage[]> {
  const messages = await getMessages(bus, stream, from, to - from + 1);
  return Promise.all(messages.map((message, index) => message ?? certainMessage(bus, stream, from + index)));
}

async function certainMessage(bus: NatsBus, stream: string, seq: number): Promise<StoredMessage> {
  const deadline = performance.now() + REPLICA_LAG_MAX_MS;
  for (;;) {
    const message = await getMessage(bus, stream, { seq });
    if (message !== undefined) return message;
    if (performance.now() > deadline) throw new MissingMessage(stream, seq);
    await Bun.sleep(RETRY_WAIT_MS);
  }
}

async function messagesBySubject(
  bus: NatsBus,
  stream: string,
  subject: string,
  from: number,
  to: number,
): Promise<StoredMessage[]> {
  const found: StoredMessage[] = [];
  for (let seq = from; seq <= to; ) {
    const message = await getMessage(bus, stream, { seq, next_by_subj: subject });
    if (message === undefined || message.sequence > to) break;
    found.push(message);
    seq = message.sequence + 1;
  }
  return found;
}

/** Whether an error says that the server is away for now, rather than that something is wrong for good. */
export function isTransient(error: unknown): boolean {
  return error instanceof RequestTimeout || error instanceof NoResponders || error instanceof NatsError;
}

/** The beginning of a range, as much of it as is asked for at once: what a follower takes at a time. */
export function readSome(bus: NatsBus, stream: string, from: number, to: number): Promise<StoredMessage[]> {
  return messagesBySequence(bus, stream, from, Math.min(to, from + SEGMENT * SEGMENTS_BY_SEQUENCE - 1));
}
