import { HEADER_TABLE_BYTES } from "../bounds.ts";
import { COMPRESSION_ERROR, ConnectionError } from "../error.ts";
import { type FieldKind, kindOfField, kindOfName } from "../field-kind.ts";
import { DynamicTable } from "./dynamic-table.ts";
import { decodedBytesMax, decodeHuffman } from "./huffman.ts";
import { IntegerReader } from "./integer.ts";
import { STATIC_FIELDS, STATIC_INDEX_MAX } from "./static-table.ts";

/** Takes the fields of a block in order. `kind` says what the field is and whether it is well-formed. */
export interface FieldSink {
  field(name: string, value: string, kind: FieldKind): void;
}

interface Entry {
  readonly name: string;
  readonly value: string;
  readonly nameKind: FieldKind;
  readonly kind: FieldKind;
}

function entry(name: string, value: string, nameKind: FieldKind): Entry {
  return { name, value, nameKind, kind: kindOfField(nameKind, value) };
}

const STATIC_ENTRIES: readonly Entry[] = STATIC_FIELDS.map(({ name, value }) => entry(name, value, kindOfName(name)));

const INDEXED = 0x80;
const WITH_INDEXING = 0x40;
const SIZE_UPDATE = 0x20;
const HUFFMAN = 0x80;

const SCRATCH_BYTES = 1024;

function compressionError(detail: string): ConnectionError {
  return new ConnectionError(COMPRESSION_ERROR, detail);
}

/** Decodes field blocks (RFC 7541 §3, §6). One per connection: its table lives as long as the peer's encoder. */
export class HpackDecoder {
  readonly #table = new DynamicTable<Entry>(HEADER_TABLE_BYTES);
  readonly #integers = new IntegerReader();
  #scratch: Buffer = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #bytes: Buffer = this.#scratch;
  #end = 0;

  /** Bytes that the dynamic table holds, as RFC 7541 §4.1 counts them. */
  get tableBytes(): number {
    return this.#table.bytes;
  }

  /** Decodes one whole block into `sink`; throws COMPRESSION_ERROR when it is not validly encoded. */
  decode(bytes: Buffer, start: number, end: number, sink: FieldSink): void {
    this.#bytes = bytes;
    this.#end = end;
    let beginning = true;
    let at = start;
    while (at < end) {
      const first = bytes[at] ?? 0;
      if (first >= INDEXED) {
        const found = this.#entry(this.#integer(at, 7));
        sink.field(found.name, found.value, found.kind);
      } else if (first >= WITH_INDEXING) {
        const found = this.#literal(at, 6);
        this.#table.insert(found);
        sink.field(found.name, found.value, found.kind);
      } else if (first >= SIZE_UPDATE) {
        // RFC 7541 §4.2: only at the beginning of a block.
        if (!beginning) throw compressionError("table_size_update_misplaced");
        this.#resize(this.#integer(at, 5));
      } else {
        const found = this.#literal(at, 4);
        sink.field(found.name, found.value, found.kind);
      }
      beginning &&= first < WITH_INDEXING && first >= SIZE_UPDATE;
      at = this.#integers.at;
    }
    this.#bytes = this.#scratch;
  }

  #integer(at: number, prefixBits: number): number {
    const value = this.#integers.read(this.#bytes, at, this.#end, prefixBits);
    if (value < 0) throw compressionError("integer_invalid");
    return value;
  }

  #entry(index: number): Entry {
    const found = index <= STATIC_INDEX_MAX ? STATIC_ENTRIES[index - 1] : this.#table.at(index - STATIC_INDEX_MAX - 1);
    if (found === undefined) throw compressionError("index_invalid");
    return found;
  }

  #resize(bytesMax: number): void {
    if (bytesMax > HEADER_TABLE_BYTES) throw compressionError("table_size_too_large");
    this.#table.resize(bytesMax);
  }

  #literal(at: number, prefixBits: number): Entry {
    const index = this.#integer(at, prefixBits);
    if (index > 0) {
      const named = this.#entry(index);
      return entry(named.name, this.#string(), named.nameKind);
    }
    const name = this.#string();
    return entry(name, this.#string(), kindOfName(name));
  }

  /** Reads the string literal at the cursor (§5.2) and moves behind it. */
  #string(): string {
    const at = this.#integers.at;
    if (at >= this.#end) throw compressionError("string_truncated");
    const coded = (this.#bytes[at] ?? 0) >= HUFFMAN;
    const length = this.#integer(at, 7);
    const start = this.#integers.at;
    const end = start + length;
    if (end > this.#end) throw compressionError("string_truncated");
    this.#integers.at = end;
    if (!coded) return this.#bytes.toString("latin1", start, end);
    const room = decodedBytesMax(length);
    const target = room <= SCRATCH_BYTES ? this.#scratch : Buffer.allocUnsafeSlow(room);
    const decoded = decodeHuffman(this.#bytes, start, end, target);
    if (decoded < 0) throw compressionError("huffman_invalid");
    return target.toString("latin1", 0, decoded);
  }
}
