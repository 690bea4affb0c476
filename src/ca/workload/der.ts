/**
 * DER (X.690 §10), as much as certificates and requests need: a strict reader that never throws on what a peer sent,
 * and a writer. A sidecar uses it in place of a certificate library, which costs 19 MB resident.
 */

/** Tags in use; constructed ones carry bit 0x20, context-specific ones bit 0x80. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const;

/** The tag `[n] EXPLICIT`, or `[n] IMPLICIT` of a constructed type. */
export function contextTag(number: number): number {
  return 0xa0 | number;
}

/** The tag `[n] IMPLICIT` of a primitive type. */
export function primitiveContextTag(number: number): number {
  return 0x80 | number;
}

/** Where an element's content lies, and what follows its length octets; undefined for anything but definite minimal DER. */
function contentSpan(bytes: Uint8Array, start: number, limit: number): { from: number; to: number } | undefined {
  const first = bytes[start];
  if (first === undefined || start >= limit) return undefined;
  if (first < 0x80) return spanWithin(start + 1, first, limit);
  const octets = first & 0x7f;
  // 0x80 is BER's indefinite length; nothing that fits a handshake needs more than three octets.
  if (octets === 0 || octets > 3 || start + 1 + octets > limit) return undefined;
  let length = 0;
  for (let index = 1; index <= octets; index += 1) length = length * 256 + (bytes[start + index] ?? 0);
  const shortest = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
  return octets === shortest ? spanWithin(start + 1 + octets, length, limit) : undefined;
}

function spanWithin(from: number, length: number, limit: number): { from: number; to: number } | undefined {
  return from + length <= limit ? { from, to: from + length } : undefined;
}

/** Walks the elements of one piece of DER. Every read returns undefined, and consumes nothing, where the bytes do not fit. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, from = 0, to = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
  }

  /** Nothing is left: what a caller checks at the end, since trailing bytes are an error in DER. */
  get done(): boolean {
    return this.#at === this.#end;
  }

  /** Tag of the next element; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined;
  }

  /** The bytes not read yet. */
  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#end);
  }

  /** Reads the next element if it has this tag, and gives a reader of its content. */
  read(tag: number): DerReader | undefined {
    if (this.nextTag !== tag) return undefined;
    const span = contentSpan(this.#bytes, this.#at + 1, this.#end);
    if (span === undefined) return undefined;
    this.#at = span.to;
    return new DerReader(this.#bytes, span.from, span.to);
  }

  /** Reads the next element whatever its (one-octet) tag. */
  readAny(): { readonly tag: number; readonly content: DerReader } | undefined {
    const tag = this.nextTag;
    // Tags above 30 take more octets; no structure that is read here has one.
    if (tag === undefined || (tag & 0x1f) === 0x1f) return undefined;
    const content = this.read(tag);
    return content === undefined ? undefined : { tag, content };
  }

  /** Reads the next element if it has this tag, and gives all its bytes, tag and length included. */
  readWhole(tag: number): Uint8Array | undefined {
    const start = this.#at;
    return this.read(tag) === undefined ? undefined : this.#bytes.subarray(start, this.#at);
  }

  /** BOOLEAN: DER knows 0x00 and 0xFF only (X.690 §11.1). */
  readBoolean(): boolean | undefined {
    const content = this.read(TAG.boolean)?.rest;
    if (content?.length !== 1) return undefined;
    return content[0] === 0xff ? true : content[0] === 0x00 ? false : undefined;
  }

  /** INTEGER that is not negative, without its sign octet. */
  readUnsigned(): Uint8Array | undefined {
    const content = this.read(TAG.integer)?.rest;
    const [first, second] = content ?? [];
    if (content === undefined || first === undefined || first >= 0x80) return undefined;
    if (first !== 0 || second === undefined) return content;
    // A leading zero octet may stand only before a set top bit (X.690 §8.3.2).
    return second >= 0x80 ? content.subarray(1) : undefined;
  }

  /** OBJECT IDENTIFIER as the hex of its content: good for comparing, which is all that is done with it. */
  readOid(): string | undefined {
    const content = this.read(TAG.oid)?.rest;
    return content === undefined || content.length === 0 ? undefined : content.toHex();
  }

  /** Time of a certificate (RFC 5280 §4.1.2.5), Unix milliseconds. */
  readTime(): number | undefined {
    const tag = this.nextTag;
    if (tag !== TAG.utcTime && tag !== TAG.generalizedTime) return undefined;
    const content = this.read(tag)?.rest;
    return content === undefined ? undefined : parseTime(latin1(content), tag === TAG.utcTime);
  }
}

/** `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, to the second and in UTC, as RFC 5280 §4.1.2.5 demands. */
function parseTime(text: string, shortYear: boolean): number | undefined {
  const parts = (
    shortYear ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
  ).exec(text);
  if (parts === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number);
  const fullYear = shortYear ? year + (year < 50 ? 2000 : 1900) : year;
  const date = new Date(0);
  date.setUTCFullYear(fullYear, month - 1, day);
  date.setUTCHours(hour, minute, second);
  // A 31st of February would have rolled over: then the digits do not come back.
  const digits = date.toISOString().replace(/[-T:]|\.000Z/g, "");
  return digits.endsWith(text.slice(0, -1)) ? date.getTime() : undefined;
}

/** Bytes as characters of the same number. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** One element: tag, minimal length, the parts one after the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const header = [tag];
  if (length < 0x80) header.push(length);
  else if (length < 0x100) header.push(0x81, length);
  else header.push(0x82, length >> 8, length & 0xff);
  if (length > 0xffff) throw new RangeError(`no element here is that long: ${length} bytes`);
  return Buffer.concat([Uint8Array.from(header), ...parts]);
}

/** INTEGER from an unsigned big-endian number, such as one half of an ECDSA signature. */
export function derUnsigned(magnitude: Uint8Array): Uint8Array {
  let first = 0;
  while (first < magnitude.length - 1 && magnitude[first] === 0) first += 1;
  const digits = magnitude.subarray(first);
  // A leading one-bit would make it negative.
  return (digits[0] ?? 0) < 0x80 ? der(TAG.integer, digits) : der(TAG.integer, Uint8Array.of(0), digits);
}
