import type { Limits } from "../../limits.ts";
import type { HeaderList, StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import { FieldKind, FORBIDDEN_IN_TRAILERS, findKnownField, hashStep, NEVER_STRIPPED } from "./field-names.ts";
import {
  COLON,
  CR,
  isFieldValueCode,
  isProtocol,
  isToken,
  isWhitespace,
  LF,
  listMembers,
  parseContentLength,
  tokenLower,
} from "./grammar.ts";

/**
 * The fields of one head (RFC 9112 §5), for requests and responses alike, with all that they say about the connection
 * and the body already taken out of them. One instance serves a connection for its life: `parse` starts afresh.
 */
export class FieldSection {
  /** What goes on to the next hop. A new list for each section, since the message keeps it. */
  headers: HeaderList = [];
  host: string | undefined;
  contentLength: number | undefined;
  chunked = false;
  close = false;
  keepAlive = false;
  /** First protocol of `Upgrade` that `Connection` confirms; never `h2c`, which is not passed on. */
  upgrade: string | undefined;
  /** All of them, as a list. */
  offers: string | undefined;
  /** Value of `Expect`, lower-cased. */
  expect: string | undefined;

  readonly #fieldsMax: number;
  /** Options of `Connection` other than `close` and `keep-alive`: names of fields to remove. */
  #options: string[] | undefined;
  /** Members of `Upgrade`. */
  #protocols: string[] | undefined;

  constructor(limits: Limits) {
    this.#fieldsMax = limits.headerCountMax;
  }

  /** Reads the field lines of a head, from `at` up to the empty line that ends `text`. */
  parse(text: string, at: number): StreamFault | undefined {
    this.#clear();
    return this.#lines(text, at, false) ?? this.#settle();
  }

  /**
   * Reads a trailer section (RFC 9112 §7.1.2) up to its empty line. Fields that may not stand there are dropped: to
   * refuse the message would be stricter than RFC 9110 §6.5.1 asks, and by then its body has been passed on.
   */
  parseTrailers(text: string): StreamFault | undefined {
    this.#clear();
    return this.#lines(text, 0, true);
  }

  #lines(text: string, at: number, trailers: boolean): StreamFault | undefined {
    const end = text.length - 2;
    let fieldsLeft = this.#fieldsMax;
    let position = at;
    while (position < end) {
      if (fieldsLeft-- === 0) return FAULTS.tooManyFields;

      const nameStart = position;
      let hash = 0;
      let lower = tokenLower(text.charCodeAt(position));
      while (lower !== 0) {
        hash = hashStep(hash, lower);
        lower = tokenLower(text.charCodeAt(++position));
      }
      const nameEnd = position;
      if (text.charCodeAt(position) !== COLON || nameEnd === nameStart) return nameFault(text, nameStart, nameEnd);

      position++;
      while (isWhitespace(text.charCodeAt(position))) position++;
      const valueStart = position;
      while (isFieldValueCode(text.charCodeAt(position))) position++;
      if (text.charCodeAt(position) !== CR || text.charCodeAt(position + 1) !== LF) return FAULTS.fieldValue;
      let valueEnd = position;
      while (valueEnd > valueStart && isWhitespace(text.charCodeAt(valueEnd - 1))) valueEnd--;
      position += 2;

      const value = text.slice(valueStart, valueEnd);
      const known = findKnownField(hash, text, nameStart, nameEnd);
      const name = known === undefined ? text.slice(nameStart, nameEnd).toLowerCase() : known.name;
      if (trailers && FORBIDDEN_IN_TRAILERS.has(name)) continue;
      if (known === undefined || known.kind === FieldKind.plain) this.headers.push(name, value);
      else {
        const fault = this.#act(known.kind, value);
        if (fault !== undefined) return fault;
      }
    }
    return undefined;
  }

  #clear(): void {
    this.headers = [];
    this.host = undefined;
    this.contentLength = undefined;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.upgrade = undefined;
    this.offers = undefined;
    this.expect = undefined;
    this.#protocols = undefined;
    this.#options = undefined;
  }

  #act(kind: FieldKind, value: string): StreamFault | undefined {
    switch (kind) {
      case FieldKind.host:
        if (this.host !== undefined) return FAULTS.hostRepeated;
        this.host = value;
        return undefined;
      case FieldKind.contentLength:
        // RFC 9110 §8.6 allows equal repetitions to be merged; no honest sender makes them.
        if (this.contentLength !== undefined) return FAULTS.lengthRepeated;
        this.contentLength = parseContentLength(value);
        if (this.contentLength === undefined) return FAULTS.lengthInvalid;
        this.headers.push("content-length", value);
        return undefined;
      case FieldKind.transferEncoding:
        return this.#transferEncoding(value);
      case FieldKind.connection:
        return this.#connection(value);
      case FieldKind.upgrade:
        this.#protocols = [...(this.#protocols ?? []), ...listMembers(value)];
        return undefined;
      case FieldKind.expect:
        this.expect = this.expect === undefined ? value.toLowerCase() : `${this.expect}, ${value.toLowerCase()}`;
        return undefined;
      case FieldKind.te:
        if (listMembers(value).includes("trailers")) this.headers.push("te", "trailers");
        return undefined;
      default:
        return undefined;
    }
  }

  /** Exactly one `chunked` (RFC 9112 §6.1). No other coding is supported, and nothing that looks nearly like it. */
  #transferEncoding(value: string): StreamFault | undefined {
    if (this.chunked) return FAULTS.codingInvalid;
    if (value === "chunked") {
      this.chunked = true;
      return undefined;
    }
    const codings = listMembers(value);
    if (codings.length === 1 && codings[0] === "chunked" && value.length === "chunked".length) {
      this.chunked = true;
      return undefined;
    }
    // `chunked` anywhere but last would leave the body without an end; a list that is no list hides something.
    const misplaced = codings.slice(0, -1).includes("chunked");
    if (codings.length === 0 || misplaced || !codings.every(isToken)) return FAULTS.codingInvalid;
    return codings.length === 1 && codings[0] === "chunked" ? FAULTS.codingInvalid : FAULTS.codingUnknown;
  }

  #connection(value: string): StreamFault | undefined {
    if (value === "keep-alive") this.keepAlive = true;
    else if (value === "close") this.close = true;
    else {
      for (const option of listMembers(value)) {
        if (!isToken(option)) return FAULTS.connectionOption;
        if (option === "close") this.close = true;
        else if (option === "keep-alive") this.keepAlive = true;
        else {
          this.#options ??= [];
          this.#options.push(option);
        }
      }
    }
    return undefined;
  }

  /** What can only be decided once all fields are known. */
  #settle(): StreamFault | undefined {
    if (this.chunked && this.contentLength !== undefined) return FAULTS.lengthAndCoding;
    const options = this.#options;
    const protocols = this.#protocols;
    if (protocols !== undefined && options?.includes("upgrade") === true) this.#settleUpgrade(protocols);
    if (options !== undefined) this.headers = withoutNamed(this.headers, new Set(options));
    return undefined;
  }

  /** Passing `h2c` on would let a client talk to the application past every policy (h2c smuggling). */
  #settleUpgrade(protocols: readonly string[]): void {
    const [first] = protocols;
    if (first !== undefined && first !== "h2c" && isProtocol(first)) this.upgrade = first;
    const offers = protocols.filter((protocol) => protocol !== "h2c" && isProtocol(protocol));
    if (offers.length > 0) this.offers = offers.join(", ");
  }
}

function withoutNamed(headers: HeaderList, names: ReadonlySet<string>): HeaderList {
  const kept: HeaderList = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at];
    const value = headers[at + 1];
    if (name === undefined || value === undefined) continue;
    // `Connection: te` is how `te: trailers` must be sent; it is not a wish to have it removed.
    if (name !== "te" && names.has(name) && !NEVER_STRIPPED.has(name)) continue;
    kept.push(name, value);
  }
  return kept;
}

/** Tells apart the ways in which a field name can be wrong: logs name them, and each is a known attack. */
function nameFault(text: string, start: number, end: number): StreamFault {
  if (isWhitespace(text.charCodeAt(start))) return FAULTS.lineFolding;
  const code = text.charCodeAt(end);
  return end > start && code === CR ? FAULTS.fieldColon : FAULTS.fieldName;
}
