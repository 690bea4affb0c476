/** What an entry adds to the size of its name and value (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;

/** Size of a field as tables and MAX_HEADER_LIST_SIZE count it; text is latin1, one byte per character. */
export function fieldBytes(name: string, value: string): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}

interface Sized {
  readonly name: string;
  readonly value: string;
}

/**
 * The dynamic table (RFC 7541 §2.3.2, §4): a ring of entries, newest first by index, bounded in bytes. Encoder and
 * decoder keep entries of their own kind in it. Each entry has a serial number, one per insertion, that does not
 * change while it ages.
 */
export class DynamicTable<E extends Sized> {
  readonly #ring: (E | undefined)[];
  readonly #mask: number;
  #inserted = 0;
  #count = 0;
  #bytes = 0;
  #bytesMax: number;
  readonly #onEvict: ((entry: E) => void) | undefined;

  constructor(bytesMax: number, onEvict?: (entry: E) => void) {
    // A power of two above the most entries that can fit, so that a serial number masks into its slot.
    const slots = 1 << Math.ceil(Math.log2(Math.max(2, bytesMax / ENTRY_OVERHEAD_BYTES + 1)));
    this.#ring = new Array(slots).fill(undefined);
    this.#mask = slots - 1;
    this.#bytesMax = bytesMax;
    this.#onEvict = onEvict;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  /** The entry inserted `age` insertions before the newest; undefined beyond the oldest. */
  at(age: number): E | undefined {
    return age < this.#count ? this.#ring[(this.#inserted - 1 - age) & this.#mask] : undefined;
  }

  /** How many insertions ago this one was; -1 once it has been evicted. */
  age(serial: number): number {
    const age = this.#inserted - 1 - serial;
    return age < this.#count ? age : -1;
  }

  /**
   * Adds an entry and returns its serial number, after evicting what must make room. An entry larger than the whole
   * table empties it and is not added (RFC 7541 §4.4): then -1.
   */
  insert(entry: E): number {
    const size = fieldBytes(entry.name, entry.value);
    this.#evictTo(this.#bytesMax - size);
    if (size > this.#bytesMax) return -1;
    const serial = this.#inserted;
    this.#ring[serial & this.#mask] = entry;
    this.#inserted++;
    this.#count++;
    this.#bytes += size;
    return serial;
  }

  /** Changes the size, up to what the constructor was given (RFC 7541 §4.3). */
  resize(bytesMax: number): void {
    this.#bytesMax = bytesMax;
    this.#evictTo(bytesMax);
  }

  #evictTo(bytesMax: number): void {
    while (this.#count > 0 && this.#bytes > bytesMax) {
      const slot = (this.#inserted - this.#count) & this.#mask;
      const entry = this.#ring[slot];
      this.#ring[slot] = undefined;
      this.#count--;
      if (entry === undefined) continue;
      this.#bytes -= fieldBytes(entry.name, entry.value);
      this.#onEvict?.(entry);
    }
  }
}
