/**
 * The requests that the application beside us is working on, with their deadlines, which bind the calls that it makes
 * for them as well. Applications pass on the ids by which requests are traced, but seldom a deadline; so incoming
 * requests and outgoing calls are matched by `x-request-id`, or else by the trace id of `traceparent`.
 */

import type { RequestRecord } from "../telemetry/request-record.ts";
import { type Chained, ChainedTable } from "./chained-table.ts";
import type { CallerTerms } from "./deadline.ts";

/** Requests that are remembered at once; those beyond go without. */
const REQUESTS_MAX = 65_536;

/** How long after its caller has gone an application may still make calls for a request. */
const ABANDONED_MS = 30_000;

/** One request, under one of the ids that it is known by; a caller may make several requests under one. */
interface Entry extends Chained<Entry> {
  readonly id: string;
  readonly record: RequestRecord;
  /** Monotonic milliseconds; infinite where nobody set one. */
  giveUpAtMs: number;
  readonly attempt: number;
}

export class InFlight {
  readonly #byRequestId = new ChainedTable<Entry>();
  readonly #byTrace = new ChainedTable<Entry>();
  /** Requests whose callers have gone, in the order in which they did. */
  readonly #abandoned: { readonly record: RequestRecord; readonly forgetAtMs: number }[] = [];
  readonly #now: () => number;
  /** Requests that are remembered. */
  #size = 0;

  /** @param now monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A request went to the application. One without terms is not worth remembering. */
  began(record: RequestRecord, { timeoutMs, attempt }: CallerTerms): void {
    if (this.#abandoned.length > 0) this.#forgetAbandoned();
    if ((timeoutMs === undefined && attempt === 1) || this.#size >= REQUESTS_MAX) return;
    const { requestId } = record;
    const trace = traceOf(record);
    // Nothing would tell what is called for it.
    if (requestId === undefined && trace === undefined) return;
    const giveUpAtMs = timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.#now() + timeoutMs;
    this.#size++;
    if (requestId !== undefined) this.#byRequestId.add(newEntry(requestId, record, giveUpAtMs, attempt));
    if (trace !== undefined) this.#byTrace.add(newEntry(trace, record, giveUpAtMs, attempt));
  }

  /**
   * The request is over. No effect for one that was not remembered.
   * @param abandoned nobody waited for its end: what the application still does for it, it does for nobody.
   */
  ended(record: RequestRecord, abandoned: boolean): void {
    if (this.#size === 0) return;
    if (!abandoned) {
      this.#forget(record);
      return;
    }
    const nowMs = this.#now();
    const entries = this.#entriesOf(record);
    for (const entry of entries) entry.giveUpAtMs = Math.min(entry.giveUpAtMs, nowMs);
    if (entries.length > 0) this.#abandoned.push({ record, forgetAtMs: nowMs + ABANDONED_MS });
  }

  #forgetAbandoned(): void {
    const nowMs = this.#now();
    while ((this.#abandoned[0]?.forgetAtMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
      const oldest = this.#abandoned.shift();
      if (oldest !== undefined) this.#forget(oldest.record);
    }
  }

  #forget(record: RequestRecord): void {
    const ofRequest = entryOf(this.#byRequestId, record.requestId, record);
    const ofTrace = entryOf(this.#byTrace, traceOf(record), record);
    if (ofRequest !== undefined) this.#byRequestId.delete(ofRequest);
    if (ofTrace !== undefined) this.#byTrace.delete(ofTrace);
    if (ofRequest !== undefined || ofTrace !== undefined) this.#size--;
  }

  #entriesOf(record: RequestRecord): Entry[] {
    const ofRequest = entryOf(this.#byRequestId, record.requestId, record);
    const ofTrace = entryOf(this.#byTrace, traceOf(record), record);
    return [ofRequest, ofTrace].filter((entry) => entry !== undefined);
  }

  /**
   * The terms of a call that the application makes: its own deadline, and the terms of the request that it is made for.
   */
  termsOf(record: RequestRecord, ownMs: number | undefined): CallerTerms {
    const own: CallerTerms = { timeoutMs: ownMs, attempt: 1 };
    if (this.#size === 0) return own;
    const first = firstOf(this.#byRequestId, record.requestId) ?? firstOf(this.#byTrace, traceOf(record));
    if (first === undefined) return own;
    // Where several requests share an id, nothing tells for which of them: the most patient one is assumed.
    let giveUpAtMs = 0;
    let attempt = Number.POSITIVE_INFINITY;
    for (let entry: Entry | undefined = first; entry !== undefined; entry = entry.chained) {
      if (entry.id !== first.id) continue;
      giveUpAtMs = Math.max(giveUpAtMs, entry.giveUpAtMs);
      attempt = Math.min(attempt, entry.attempt);
    }
    const leftMs = Math.max(1, giveUpAtMs - this.#now());
    const timeoutMs = leftMs === Number.POSITIVE_INFINITY ? ownMs : Math.min(leftMs, ownMs ?? leftMs);
    return { timeoutMs, attempt };
  }
}

function newEntry(id: string, record: RequestRecord, giveUpAtMs: number, attempt: number): Entry {
  return { hash: hashOf(id), chained: undefined, id, record, giveUpAtMs, attempt };
}

/** The first of those that were remembered under this id. */
function firstOf(table: ChainedTable<Entry>, id: string | undefined): Entry | undefined {
  if (id === undefined) return undefined;
  let entry = table.chain(hashOf(id));
  while (entry !== undefined && entry.id !== id) entry = entry.chained;
  return entry;
}

function entryOf(table: ChainedTable<Entry>, id: string | undefined, record: RequestRecord): Entry | undefined {
  if (id === undefined) return undefined;
  let entry = table.chain(hashOf(id));
  while (entry !== undefined && entry.record !== record) entry = entry.chained;
  return entry;
}

/** Longest part of an id that is hashed. */
const HASHED_LENGTH_MAX = 128;

function hashOf(id: string): number {
  const length = Math.min(id.length, HASHED_LENGTH_MAX);
  let hash = 0;
  for (let at = 0; at < length; at++) hash = (Math.imul(hash, 31) + id.charCodeAt(at)) | 0;
  return hash;
}

/** The trace id is the second field (W3C Trace Context §3.2). */
function traceOf({ traceparent }: RequestRecord): string | undefined {
  return traceparent === undefined ? undefined : TRACE.exec(traceparent)?.[1];
}

const TRACE = /^[0-9a-f]{2}-([0-9a-f]{32})-/;
