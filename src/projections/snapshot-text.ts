/**
 * Takes the JSON of a snapshot apart without reading all of it: where each upstream stands, so that one which says byte for
 * byte what it said in the snapshot before need be neither parsed nor validated again, and the others can be one by one.
 */

import { parseJson } from "../policy/json.ts";
import type { SnapshotUpstream } from "./snapshot.ts";

/** Bytes from `start` on, before `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface UpstreamText extends Span {
  /** What the same bytes were found to say before. */
  readonly known: SnapshotUpstream | undefined;
  /** What other bytes said of the same upstream before. */
  readonly before: SnapshotUpstream | undefined;
}

export interface SnapshotText {
  readonly bytes: Uint8Array;
  /** Parsed: everything but the upstreams, in whose place is an empty object. Undefined: it is no JSON. */
  readonly frame: unknown;
  /** By `namespace/name`. Undefined where they could not be told apart: then `frame` is all there is. */
  readonly upstreams: ReadonlyMap<string, UpstreamText> | undefined;
}

/** A snapshot's text whose upstreams have been read. */
export interface KnownText {
  readonly bytes: Uint8Array;
  readonly upstreams: ReadonlyMap<string, Span & { readonly upstream: SnapshotUpstream }>;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;
const SPACES: readonly number[] = [0x20, 0x09, 0x0a, 0x0d];
/** A key of printable ASCII, without escapes. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** Yields after each upstream. What is not written as JSON of ours is, is parsed as a whole. */
export function* splitSnapshot(bytes: Uint8Array, known?: KnownText): Generator<void, SnapshotText> {
  const whole = (): SnapshotText => ({ bytes, frame: parseJson(bytes), upstreams: undefined });
  const members = new Members(bytes, 0);
  let place: Span | undefined;
  let upstreams: ReadonlyMap<string, UpstreamText> | undefined;
  for (let key = members.next(); key !== undefined; key = members.next()) {
    if (key !== "upstreams") {
      members.skip();
      continue;
    }
    const start = members.at;
    if (place !== undefined) return whole();
    const within = new Members(bytes, start);
    upstreams = yield* splitUpstreams(within, bytes, known);
    if (!within.ended) return whole();
    members.leave(within.at);
    place = { start, end: within.at };
  }
  if (!members.ended || place === undefined) return whole();
  const frame = Buffer.concat([bytes.subarray(0, place.start), Buffer.from("{}"), bytes.subarray(place.end)]);
  return { bytes, frame: parseJson(frame), upstreams };
}

function* splitUpstreams(
  members: Members,
  bytes: Uint8Array,
  known: KnownText | undefined,
): Generator<void, ReadonlyMap<string, UpstreamText>> {
  const upstreams = new Map<string, UpstreamText>();
  const before = known && Buffer.from(known.bytes.buffer, known.bytes.byteOffset, known.bytes.byteLength);
  for (let key = members.next(); key !== undefined; key = members.next()) {
    const start = members.at;
    const same = known?.upstreams.get(key);
    const end = start + (same === undefined ? 0 : same.end - same.start);
    // Whole objects, so that what begins with the same bytes is the same.
    if (same !== undefined && end <= bytes.length && before?.compare(bytes, start, end, same.start, same.end) === 0) {
      members.leave(end);
      upstreams.set(key, { start, end, known: same.upstream, before: undefined });
    } else {
      members.skip();
      upstreams.set(key, { start, end: members.at, known: undefined, before: same?.upstream });
    }
    yield;
  }
  return upstreams;
}

/** Walks over the members of one object of JSON (RFC 8259, 4) and reads their keys; of values, only where they end. */
class Members {
  /** Where the value of the member stands, after `next`; the end of the object, once that is reached. */
  at: number;
  /** The object is over, and was one as far as its members go. */
  ended = false;
  #first = true;
  #broken = false;

  constructor(
    private readonly bytes: Uint8Array,
    at: number,
  ) {
    this.at = this.#pastSpace(at);
    if (bytes[this.at] === BRACE_OPEN) this.at++;
    else this.#broken = true;
  }

  /** The next key; undefined: there is none, or this is no object, or the key is not written plainly. */
  next(): string | undefined {
    if (this.#broken || this.ended) return undefined;
    let at = this.#pastSpace(this.at);
    if (this.bytes[at] === BRACE_CLOSE) {
      this.at = at + 1;
      this.ended = true;
      return undefined;
    }
    if (!this.#first) at = this.#past(COMMA, at);
    this.#first = false;
    const end = this.bytes[at] === QUOTE ? this.bytes.indexOf(QUOTE, at + 1) : -1;
    const key = end < 0 ? "" : Buffer.from(this.bytes.buffer, this.bytes.byteOffset + at + 1, end - at - 1).toString();
    this.at = this.#past(COLON, this.#pastSpace(end + 1));
    if (end < 0 || !PLAIN.test(key)) this.#broken = true;
    return this.#broken ? undefined : key;
  }

  /** Goes on behind the value of the member. */
  skip(): void {
    this.at = valueEnd(this.bytes, this.at);
  }

  /** The same, its end being known. */
  leave(end: number): void {
    this.at = end;
  }

  #past(wanted: number, at: number): number {
    if (this.bytes[at] !== wanted) this.#broken = true;
    return this.#pastSpace(at + 1);
  }

  #pastSpace(from: number): number {
    let at = from;
    while (SPACES.includes(this.bytes[at] ?? QUOTE)) at++;
    return at;
  }
}

/** The end of the value that stands there; that it is one is for a parser to say. */
function valueEnd(bytes: Uint8Array, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        at = stringEnd(bytes, at);
        if (depth === 0) return at + 1;
        break;
      case BRACE_OPEN:
      case BRACKET_OPEN:
        depth++;
        break;
      case BRACE_CLOSE:
      case BRACKET_CLOSE:
        if (depth === 0) return at;
        if (--depth === 0) return at + 1;
        break;
      case COMMA:
        if (depth === 0) return at;
    }
  }
  return bytes.length;
}

/** The closing quote of the string that opens there; behind the last byte where there is none. */
function stringEnd(bytes: Uint8Array, open: number): number {
  for (let at = open + 1; at < bytes.length; at++) {
    if (bytes[at] === QUOTE) return at;
    if (bytes[at] === BACKSLASH) at++;
  }
  return bytes.length;
}
