/** Integers with a prefix (RFC 7541 §5.1). */

/** Larger than any index, length or table size that we could accept; beyond it an integer counts as an overflow. */
const INTEGER_MAX = 0x0fff_ffff;

/**
 * Reads a prefixed integer. One cursor serves a whole decoder, so that reading a value and its end costs no object.
 */
export class IntegerReader {
  /** Just behind the last integer read. */
  at = 0;

  /**
   * Reads the integer whose prefix is the low `prefixBits` of `bytes[at]`. -1 when it is truncated or above
   * `INTEGER_MAX`; `this.at` then has no meaning.
   */
  read(bytes: Uint8Array, at: number, end: number, prefixBits: number): number {
    if (at >= end) return -1;
    const mask = (1 << prefixBits) - 1;
    const value = (bytes[at] ?? 0) & mask;
    this.at = at + 1;
    return value < mask ? value : this.#readLong(bytes, end, value);
  }

  #readLong(bytes: Uint8Array, end: number, prefix: number): number {
    let value = prefix;
    // Four groups of seven bits hold INTEGER_MAX; a fifth could only be an overflow or padding with zeros.
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.at >= end) return -1;
      const byte = bytes[this.at] ?? 0;
      this.at++;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value <= INTEGER_MAX ? value : -1;
    }
    return -1;
  }
}

/**
 * Writes `value` behind the bits of `pattern` and returns the place after it. The caller has made room for
 * `INTEGER_BYTES_MAX`.
 */
export function writeInteger(
  bytes: Uint8Array,
  at: number,
  pattern: number,
  prefixBits: number,
  value: number,
): number {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    bytes[at] = pattern | value;
    return at + 1;
  }
  bytes[at] = pattern | mask;
  let next = at + 1;
  let rest = value - mask;
  while (rest >= 0x80) {
    bytes[next] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
    next++;
  }
  bytes[next] = rest;
  return next + 1;
}

/** What `writeInteger` needs at most for any 32-bit value. */
export const INTEGER_BYTES_MAX = 6;
