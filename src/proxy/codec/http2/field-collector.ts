import type { Limits } from "../../limits.ts";
import { parseContentLength } from "../http1/grammar.ts";
import type { HeaderList, StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import { FieldKind } from "./field-kind.ts";
import type { FieldSink } from "./hpack/decoder.ts";
import { fieldBytes } from "./hpack/dynamic-table.ts";

/**
 * Gathers one decoded field section and judges what can be judged field by field (RFC 9113 §8.2, §8.3). A section
 * that is refused is still decoded to its end, since the HPACK tables must keep step, but no longer kept.
 */
export class FieldCollector implements FieldSink {
  readonly #limits: Limits;
  #isTrailers = false;
  #bytes = 0;
  #count = 0;
  #cookieAt = -1;

  /** Why the section is malformed or too large; the first reason counts. */
  fault: StreamFault | undefined;
  method: string | undefined;
  path: string | undefined;
  scheme: string | undefined;
  authority: string | undefined;
  status: string | undefined;
  protocol: string | undefined;
  host: string | undefined;
  expect: string | undefined;
  contentLength: number | undefined;
  headers: HeaderList = [];

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Makes ready for a section: a head, or the trailers of a message whose head has been read. */
  begin(isTrailers: boolean): void {
    this.#isTrailers = isTrailers;
    this.#bytes = 0;
    this.#count = 0;
    this.#cookieAt = -1;
    this.fault = undefined;
    this.method = undefined;
    this.path = undefined;
    this.scheme = undefined;
    this.authority = undefined;
    this.status = undefined;
    this.protocol = undefined;
    this.host = undefined;
    this.expect = undefined;
    this.contentLength = undefined;
    this.headers = [];
  }

  field(name: string, value: string, kind: FieldKind): void {
    if (this.fault === undefined) this.fault = this.#take(name, value, kind);
  }

  #take(name: string, value: string, kind: FieldKind): StreamFault | undefined {
    this.#bytes += fieldBytes(name, value);
    if (this.#bytes > (this.#isTrailers ? this.#limits.trailerBytesMax : this.#limits.headBytesMax)) {
      return this.#isTrailers ? FAULTS.trailersTooLarge : FAULTS.headTooLarge;
    }
    if (kind >= FieldKind.Method && kind <= FieldKind.Protocol) return this.#pseudo(value, kind);
    // Cookie crumbs (§8.2.3) are one field, cut by the peer for the sake of its tables.
    if (this.#cookieAt < 0 || kind !== FieldKind.Cookie) this.#count++;
    if (this.#count > this.#limits.headerCountMax) return FAULTS.tooManyFields;
    if (kind === FieldKind.Regular) {
      this.headers.push(name, value);
      return undefined;
    }
    return this.#special(name, value, kind);
  }

  #special(name: string, value: string, kind: FieldKind): StreamFault | undefined {
    switch (kind) {
      case FieldKind.Host:
        if (this.host !== undefined) return FAULTS.hostRepeated;
        this.host = value;
        return undefined;
      case FieldKind.Cookie:
        this.#addCookie(value);
        return undefined;
      case FieldKind.ContentLength:
        return this.#takeContentLength(name, value);
      case FieldKind.Te:
        if (value.toLowerCase() !== "trailers") return FAULTS.te;
        this.headers.push(name, "trailers");
        return undefined;
      case FieldKind.Expect:
        this.expect = value.toLowerCase();
        return undefined;
      case FieldKind.ConnectionSpecific:
        return FAULTS.connectionField;
      default:
        return FAULTS.field;
    }
  }

  #addCookie(value: string): void {
    if (this.#cookieAt < 0) {
      this.headers.push("cookie", value);
      this.#cookieAt = this.headers.length - 1;
    } else this.headers[this.#cookieAt] += `; ${value}`;
  }

  #takeContentLength(name: string, value: string): StreamFault | undefined {
    // In trailers it would frame a message that is already over (RFC 9110 §6.5.1).
    if (this.#isTrailers) return FAULTS.lengthInvalid;
    if (this.contentLength !== undefined) return FAULTS.lengthRepeated;
    this.contentLength = parseContentLength(value);
    if (this.contentLength === undefined) return FAULTS.lengthInvalid;
    this.headers.push(name, value);
    return undefined;
  }

  /** Pseudo-fields come first, once each, and never in trailers (RFC 9113 §8.3, §8.1). */
  #pseudo(value: string, kind: FieldKind): StreamFault | undefined {
    if (this.#isTrailers || this.#count > 0) return FAULTS.pseudoMisplaced;
    switch (kind) {
      case FieldKind.Method:
        if (this.method !== undefined) return FAULTS.pseudoRepeated;
        this.method = value;
        return undefined;
      case FieldKind.Path:
        if (this.path !== undefined) return FAULTS.pseudoRepeated;
        this.path = value;
        return undefined;
      case FieldKind.Scheme:
        if (this.scheme !== undefined) return FAULTS.pseudoRepeated;
        this.scheme = value;
        return undefined;
      case FieldKind.Authority:
        if (this.authority !== undefined) return FAULTS.pseudoRepeated;
        this.authority = value;
        return undefined;
      case FieldKind.Status:
        if (this.status !== undefined) return FAULTS.pseudoRepeated;
        this.status = value;
        return undefined;
      default:
        if (this.protocol !== undefined) return FAULTS.pseudoRepeated;
        this.protocol = value;
        return undefined;
    }
  }
}
