import type { Limits } from "../../limits.ts";
import type { HeaderList, StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import type { FieldSection } from "./field-section.ts";
import { CR, hexValue, isChunkExtension, isFieldValueCode, LF } from "./grammar.ts";
import type { InputBuffer } from "./input-buffer.ts";
import { INCOMPLETE, lineEndingFault, SectionEnd } from "./section-end.ts";

const SEMICOLON = 0x3b;
const DIGIT_ZERO = 0x30;

/** 2^52 bytes: what a double holds exactly, and more than anyone sends (RFC 9112 §7.1 asks for an overflow check). */
const CHUNK_SIZE_DIGITS_MAX = 13;

/** What one step of a body brought. */
export const BodyStep = {
  /** Nothing more can be read from what has arrived. */
  needMore: 0,
  /** `data` holds a piece. */
  data: 1,
  /** `data` holds the last piece. */
  lastData: 2,
  /** The body is over; nothing came with its end. */
  end: 3,
  /** The body is over; `trailers` holds its trailers. */
  trailers: 4,
  /** `fault` says how the peer broke the framing. */
  fault: 5,
} as const;
export type BodyStep = (typeof BodyStep)[keyof typeof BodyStep];

type Mode = "length" | "chunk-line" | "chunk-data" | "chunk-end" | "trailers" | "until-close";

const NO_DATA = new Uint8Array(0);

/**
 * Takes a body apart, whatever its framing (RFC 9112 §6, §7), one step per call, so that its owner can stop between two
 * steps. Requests and responses have the same bodies.
 */
export class BodyReader {
  data: Uint8Array = NO_DATA;
  trailers: HeaderList = [];
  fault: StreamFault | undefined;

  readonly #limits: Limits;
  readonly #section: FieldSection;
  readonly #sectionEnd = new SectionEnd();
  #mode: Mode = "length";
  /** Bytes that the body, or the chunk, still has to bring. */
  #left = 0;

  constructor(limits: Limits, section: FieldSection) {
    this.#limits = limits;
    this.#section = section;
  }

  /** Begins a body of exactly `bytes` bytes. */
  beginLength(bytes: number): void {
    this.#mode = "length";
    this.#left = bytes;
  }

  beginChunked(): void {
    this.#mode = "chunk-line";
  }

  /** Begins a body that ends with the connection: close-delimited (RFC 9112 §6.3), or a tunnel. */
  beginUntilClose(): void {
    this.#mode = "until-close";
  }

  /** True where the end of the connection is the end of the body, and not its truncation. */
  get endsWithConnection(): boolean {
    return this.#mode === "until-close";
  }

  /** Bytes that have not been read yet; where only the body's end will tell, any number. */
  get bytesLeft(): number {
    return this.#mode === "length" ? this.#left : Number.POSITIVE_INFINITY;
  }

  step(input: InputBuffer): BodyStep {
    for (;;) {
      switch (this.#mode) {
        case "length":
          return this.#length(input);
        case "until-close":
          if (input.length === 0) return BodyStep.needMore;
          this.data = input.take(input.length);
          return BodyStep.data;
        case "chunk-line":
          if (!this.#chunkLine(input)) return this.#stopped();
          break;
        case "chunk-data":
          if (input.length === 0) return BodyStep.needMore;
          return this.#chunkData(input);
        case "chunk-end":
          if (!this.#chunkEnd(input)) return this.#stopped();
          break;
        case "trailers":
          return this.#trailers(input);
      }
    }
  }

  #stopped(): BodyStep {
    return this.fault === undefined ? BodyStep.needMore : BodyStep.fault;
  }

  #fail(fault: StreamFault): false {
    this.fault = fault;
    return false;
  }

  #length(input: InputBuffer): BodyStep {
    if (this.#left === 0) return BodyStep.end;
    if (input.length === 0) return BodyStep.needMore;
    this.data = input.take(this.#left);
    this.#left -= this.data.byteLength;
    return this.#left === 0 ? BodyStep.lastData : BodyStep.data;
  }

  /**
   * `chunk-size [ chunk-ext ] CRLF`. Sound extensions are skipped, within bounds. White space around the size is refused:
   * whether it is skipped, and how the rest is then read, differs between implementations.
   */
  #chunkLine(input: InputBuffer): boolean {
    const { bytes, start, end } = input;
    const sizeEnd = this.#chunkSize(bytes, start, end);
    if (sizeEnd < 0) return false;
    let at = sizeEnd;
    if (bytes[at] === SEMICOLON) {
      const extensionEnd = Math.min(end, start + this.#limits.chunkLineBytesMax);
      while (at < extensionEnd && isFieldValueCode(bytes[at] ?? 0)) at++;
      if (at - start >= this.#limits.chunkLineBytesMax) return this.#fail(FAULTS.chunkLineTooLong);
      if (at === end) return false;
      if (!isChunkExtension(bytes.toString("latin1", sizeEnd, at))) return this.#fail(FAULTS.chunkExtension);
    }
    if (bytes[at] !== CR) return this.#fail(at === sizeEnd ? FAULTS.chunkSize : FAULTS.chunkExtension);
    if (at + 1 === end) return false;
    if (bytes[at + 1] !== LF) return this.#fail(FAULTS.bareLineEnding);
    if (this.#left === 0) {
      // The CRLF stays: an empty line after it, or after a field, ends the trailers just the same.
      input.skip(at - start);
      this.#mode = "trailers";
    } else {
      input.skip(at + 2 - start);
      this.#mode = "chunk-data";
    }
    return true;
  }

  /** Reads the digits into `#left`; the position after them, or -1 where there are none, too many, or no end of them. */
  #chunkSize(bytes: Uint8Array, start: number, end: number): number {
    let size = 0;
    let at = start;
    while (at < end) {
      const digit = hexValue(bytes[at] ?? 0);
      if (digit === 0xff) break;
      if (at - start === CHUNK_SIZE_DIGITS_MAX) {
        this.#fail(FAULTS.chunkSize);
        return -1;
      }
      size = size * 16 + digit;
      at++;
    }
    if (at === end) return -1;
    if (at === start) {
      this.#fail(FAULTS.chunkSize);
      return -1;
    }
    this.#left = size;
    return at;
  }

  #chunkData(input: InputBuffer): BodyStep {
    this.data = input.take(this.#left);
    this.#left -= this.data.byteLength;
    if (this.#left > 0) return BodyStep.data;
    this.#mode = "chunk-end";
    // Mostly the last chunk has arrived along with the data: one step then says both, and costs one write further on.
    if (!endsHere(input)) return BodyStep.data;
    input.skip(7);
    return BodyStep.lastData;
  }

  #chunkEnd(input: InputBuffer): boolean {
    if (input.length === 0) return false;
    const { bytes, start } = input;
    if (bytes[start] !== CR) return this.#fail(FAULTS.chunkEnd);
    if (input.length === 1) return false;
    if (bytes[start + 1] !== LF) return this.#fail(FAULTS.chunkEnd);
    input.skip(2);
    this.#mode = "chunk-line";
    return true;
  }

  /** From the CRLF of the last chunk's line to the empty line. */
  #trailers(input: InputBuffer): BodyStep {
    const found = this.#sectionEnd.find(input, this.#limits.trailerBytesMax, FAULTS.trailersTooLarge);
    if (found === INCOMPLETE) return BodyStep.needMore;
    if (typeof found !== "number") {
      this.fault = found;
      return BodyStep.fault;
    }
    const { bytes, start } = input;
    if (found - start > 4) {
      const fault = this.#section.parseTrailers(bytes.toString("latin1", start + 2, found));
      if (fault !== undefined) {
        this.fault = lineEndingFault(bytes, start, found) ?? fault;
        return BodyStep.fault;
      }
      this.trailers = this.#section.headers;
    } else this.trailers = [];
    input.skip(found - start);
    return this.trailers.length > 0 ? BodyStep.trailers : BodyStep.end;
  }
}

/** True where `CRLF 0 CRLF CRLF` follows: the data is over, and there are no trailers. */
function endsHere(input: InputBuffer): boolean {
  if (input.length < 7) return false;
  const { bytes, start: at } = input;
  return (
    bytes[at + 2] === DIGIT_ZERO &&
    bytes[at] === CR &&
    bytes[at + 1] === LF &&
    bytes[at + 3] === CR &&
    bytes[at + 4] === LF &&
    bytes[at + 5] === CR &&
    bytes[at + 6] === LF
  );
}
