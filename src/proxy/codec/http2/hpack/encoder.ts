import { HEADER_TABLE_BYTES } from "../bounds.ts";
import type { FrameWriter } from "../frame-writer.ts";
import { DynamicTable, ENTRY_OVERHEAD_BYTES, fieldBytes } from "./dynamic-table.ts";
import { INTEGER_BYTES_MAX, writeInteger } from "./integer.ts";
import { STATIC_FIELDS, STATIC_INDEX_MAX } from "./static-table.ts";

/** Names that the encoder remembers; a mesh has a few dozen, and who sends thousands gains nothing by it. */
const NAMES_MAX = 256;

/** Values longer than this are not worth a place in the table, nor being remembered. */
const INDEXED_FIELD_BYTES_MAX = HEADER_TABLE_BYTES / 4;

/** Below this length a secret's bytes could be guessed one table entry at a time (RFC 7541 §7.1.3). */
const SHORT_SECRET_BYTES = 20;

const INDEXED = 0x80;
const WITH_INDEXING = 0x40;
const WITHOUT_INDEXING = 0x00;
const NEVER_INDEXED = 0x10;
const SIZE_UPDATE = 0x20;

/** Names whose values are secrets: those of `always` at any length, cookies while they are short. */
const ALWAYS_SECRET: ReadonlySet<string> = new Set(["authorization", "proxy-authorization", "set-cookie"]);
const SECRET_WHILE_SHORT: ReadonlySet<string> = new Set(["cookie"]);

/** All that the encoder knows of one field name. */
interface EncodedName {
  readonly name: string;
  /** Index of the name in the static table, 0 if it is not there. */
  readonly staticIndex: number;
  /** Values of up to this length are never indexed. */
  readonly secretBytes: number;
  /** Where a value is: a static index negated, or a serial number of the dynamic table. */
  readonly values: Map<string, number>;
  /** Serial number of the newest dynamic entry with this name; -1 before there is one. */
  serial: number;
  /** The two values that went out last without being indexed: a second sight earns a place in the table. */
  seen: string | undefined;
  seenBefore: string | undefined;
}

interface Entry {
  readonly name: string;
  readonly value: string;
  readonly owner: EncodedName;
}

/**
 * Encodes field blocks (RFC 7541 §6) straight into the frame writer. A value is put into the dynamic table when it is
 * seen a second time, so that what differs in every request (identifiers, dates, paths) never pushes out what repeats;
 * of a name whose values all differ one is put there, once, for the sake of the name.
 * Strings go out without Huffman coding: what is worth compressing is one byte from its second repetition on, and for
 * the rest, within a mesh, the CPU of both ends costs more than a quarter of the bytes.
 */
export class HpackEncoder {
  readonly #writer: FrameWriter;
  readonly #names = new Map<string, EncodedName>();
  readonly #table = new DynamicTable<Entry>(HEADER_TABLE_BYTES, ({ owner, value }) => owner.values.delete(value));
  /** Size updates that the next block must begin with (§4.2); -1: none. */
  #lowestSize = -1;
  #pendingSize = -1;

  constructor(writer: FrameWriter) {
    this.#writer = writer;
    for (const [row, { name, value }] of STATIC_FIELDS.entries()) {
      const known = this.#names.get(name) ?? this.#learn(name, row + 1);
      if (value !== "") known.values.set(value, -(row + 1));
    }
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE: an upper bound, announced at the beginning of the next block. */
  limitTable(bytesMax: number): void {
    const size = Math.min(bytesMax, HEADER_TABLE_BYTES);
    if (size === (this.#pendingSize < 0 ? this.#table.bytesMax : this.#pendingSize)) return;
    this.#lowestSize = this.#lowestSize < 0 ? size : Math.min(this.#lowestSize, size);
    this.#pendingSize = size;
  }

  /** Opens a block in the writer. */
  begin(): void {
    this.#writer.beginBlock();
    if (this.#pendingSize < 0) return;
    if (this.#lowestSize < this.#pendingSize) this.#updateSize(this.#lowestSize);
    this.#updateSize(this.#pendingSize);
    this.#lowestSize = -1;
    this.#pendingSize = -1;
  }

  /** Ends the block and writes its frames. */
  end(streamId: number, endStream: boolean): void {
    this.#writer.endBlock(streamId, endStream);
  }

  #updateSize(bytesMax: number): void {
    this.#table.resize(bytesMax);
    this.#writer.reserve(INTEGER_BYTES_MAX);
    this.#writer.at = writeInteger(this.#writer.bytes, this.#writer.at, SIZE_UPDATE, 5, bytesMax);
  }

  /**
   * Encodes one field in the shortest way that the tables offer. That a field came in as never indexed is not known
   * here (RFC 7541 §7.1.3 would have it kept so): the secrets among fields are known by their names instead.
   */
  field(name: string, value: string): void {
    const known = this.#names.get(name) ?? this.#learn(name, 0);
    const place = known.values.get(value);
    if (place !== undefined) {
      const writer = this.#writer;
      writer.reserve(INTEGER_BYTES_MAX);
      const index = place < 0 ? -place : STATIC_INDEX_MAX + 1 + this.#table.age(place);
      writer.at = writeInteger(writer.bytes, writer.at, INDEXED, 7, index);
      return;
    }
    const nameIndex = this.#nameIndex(known);
    if (value.length < known.secretBytes) this.#literal(known, nameIndex, value, NEVER_INDEXED, 4);
    else if (this.#repeats(known, nameIndex, value)) {
      this.#literal(known, nameIndex, value, WITH_INDEXING, 6);
      known.serial = this.#table.insert({ name: known.name, value, owner: known });
      known.values.set(value, known.serial);
    } else this.#literal(known, nameIndex, value, WITHOUT_INDEXING, 4);
  }

  /** Whether the value was among the last ones of its name, or the name repeats and is in no table yet. */
  #repeats(known: EncodedName, nameIndex: number, value: string): boolean {
    const size = fieldBytes(known.name, value);
    if (size > INDEXED_FIELD_BYTES_MAX || size > this.#table.bytesMax) return false;
    if (value === known.seen || value === known.seenBefore) return true;
    const nameRepeats = nameIndex === 0 && known.seen !== undefined;
    known.seenBefore = known.seen;
    known.seen = value;
    return nameRepeats;
  }

  #literal(known: EncodedName, index: number, value: string, pattern: number, prefixBits: number): void {
    const writer = this.#writer;
    writer.reserve(known.name.length + value.length + 3 * INTEGER_BYTES_MAX);
    writer.at = writeInteger(writer.bytes, writer.at, pattern, prefixBits, index);
    if (index === 0) this.#string(known.name);
    this.#string(value);
  }

  /** Index of the name in either table, 0 if it is in none. */
  #nameIndex(known: EncodedName): number {
    if (known.staticIndex > 0) return known.staticIndex;
    const age = known.serial < 0 ? -1 : this.#table.age(known.serial);
    return age < 0 ? 0 : STATIC_INDEX_MAX + 1 + age;
  }

  #string(text: string): void {
    const writer = this.#writer;
    writer.at = writeInteger(writer.bytes, writer.at, 0, 7, text.length);
    writer.latin1(text);
  }

  #learn(name: string, staticIndex: number): EncodedName {
    const known: EncodedName = {
      name,
      staticIndex,
      secretBytes: secretBytes(name),
      values: new Map(),
      serial: -1,
      seen: undefined,
      seenBefore: undefined,
    };
    if (this.#names.size >= NAMES_MAX) this.#forget();
    if (this.#names.size < NAMES_MAX && name.length <= INDEXED_FIELD_BYTES_MAX - ENTRY_OVERHEAD_BYTES) {
      this.#names.set(name, known);
    }
    return known;
  }

  /** Drops the names that the tables do not hold. The table bounds how many stay: at most 128 entries and 61 rows. */
  #forget(): void {
    for (const [name, known] of this.#names) {
      if (known.staticIndex === 0 && known.values.size === 0) this.#names.delete(name);
    }
  }
}

/** Values shorter than this are secrets that must not be indexed. */
function secretBytes(name: string): number {
  if (ALWAYS_SECRET.has(name)) return Number.POSITIVE_INFINITY;
  return SECRET_WHILE_SHORT.has(name) ? SHORT_SECRET_BYTES : 0;
}
