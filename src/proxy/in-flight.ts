/**
 * What the application beside us is working on, and for how long somebody waits for it: the calls that it makes
 * meanwhile are bound by the same. Applications pass on the ids by which requests are traced, seldom a deadline; so what
 * came in and what goes out are joined by `x-request-id`, or else by the trace of `traceparent`.
 */

import type { RequestRecord } from "../telemetry/request-record.ts";
import type { CallerTerms } from "./deadline.ts";

/** Requests that are remembered at once; those beyond go without. */
const REQUESTS_MAX = 65_536;

/** How long calls are still expected that an application makes for a caller who has gone. */
const ABANDONED_MS = 30_000;

interface Entry {
  /** Monotonic milliseconds; infinite where nobody set one. */
  giveUpAtMs: number;
  readonly attempt: number;
}

export class InFlight {
  /** By id, then by request: a caller may make several requests under one id. */
  readonly #byId = new Map<string, Map<RequestRecord, Entry>>();
  /** Requests whose callers have gone, in the order in which they did. */
  readonly #abandoned: { readonly record: RequestRecord; readonly forgetAtMs: number }[] = [];
  readonly #now: () => number;
  #size = 0;

  /** @param now monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A request went to the application. One without terms is not worth remembering. */
  began(record: RequestRecord, { timeoutMs, attempt }: CallerTerms): void {
    if (this.#abandoned.length > 0) this.#forgetAbandoned();
    if ((timeoutMs === undefined && attempt === 1) || this.#size >= REQUESTS_MAX) return;
    const giveUpAtMs = timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.#now() + timeoutMs;
    this.#size++;
    for (const id of idsOf(record)) {
      const entries = this.#byId.get(id) ?? new Map<RequestRecord, Entry>();
      this.#byId.set(id, entries.set(record, { giveUpAtMs, attempt }));
    }
  }

  /**
   * It is over. No effect for one that was not remembered.
   * @param abandoned nobody waited for its end: what the application still does for it, it does for nobody.
   */
  ended(record: RequestRecord, abandoned: boolean): void {
    if (this.#size === 0) return;
    if (!abandoned) {
      this.#forget(record);
      return;
    }
    const nowMs = this.#now();
    let known = false;
    for (const id of idsOf(record)) {
      const entry = this.#byId.get(id)?.get(record);
      if (entry === undefined) continue;
      entry.giveUpAtMs = Math.min(entry.giveUpAtMs, nowMs);
      known = true;
    }
    if (known) this.#abandoned.push({ record, forgetAtMs: nowMs + ABANDONED_MS });
  }

  #forgetAbandoned(): void {
    const nowMs = this.#now();
    while ((this.#abandoned[0]?.forgetAtMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
      const oldest = this.#abandoned.shift();
      if (oldest !== undefined) this.#forget(oldest.record);
    }
  }

  #forget(record: RequestRecord): void {
    let known = false;
    for (const id of idsOf(record)) {
      const entries = this.#byId.get(id);
      if (entries?.delete(record) !== true) continue;
      known = true;
      if (entries.size === 0) this.#byId.delete(id);
    }
    if (known) this.#size--;
  }

  /**
   * The terms of a call that the application makes: the time that it gives it, and those of the request that it is made
   * for.
   */
  termsOf(record: RequestRecord, ownMs: number | undefined): CallerTerms {
    const own: CallerTerms = { timeoutMs: ownMs, attempt: 1 };
    if (this.#size === 0) return own;
    const entries = idsOf(record)
      .map((id) => this.#byId.get(id))
      .find((found) => found !== undefined);
    if (entries === undefined) return own;
    // Where several requests share an id, nothing tells for which of them: the most patient one is assumed.
    let giveUpAtMs = 0;
    let attempt = Number.POSITIVE_INFINITY;
    for (const entry of entries.values()) {
      giveUpAtMs = Math.max(giveUpAtMs, entry.giveUpAtMs);
      attempt = Math.min(attempt, entry.attempt);
    }
    const leftMs = Math.max(1, giveUpAtMs - this.#now());
    const timeoutMs = leftMs === Number.POSITIVE_INFINITY ? ownMs : Math.min(leftMs, ownMs ?? leftMs);
    return { timeoutMs, attempt };
  }
}

/** Prefixed, so that the two kinds never meet. The trace id is the second field (W3C Trace Context §3.2). */
function idsOf({ requestId, traceparent }: RequestRecord): string[] {
  const ids: string[] = [];
  if (requestId !== undefined) ids.push(`r${requestId}`);
  const trace = traceparent === undefined ? undefined : TRACE.exec(traceparent)?.[1];
  if (trace !== undefined) ids.push(`t${trace}`);
  return ids;
}

const TRACE = /^[0-9a-f]{2}-([0-9a-f]{32})-/;
