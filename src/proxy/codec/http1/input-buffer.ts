const EMPTY = Buffer.alloc(0);

/** Smallest buffer allocated to gather what arrives in pieces: heads usually fit. */
const GATHER_BYTES_MIN = 1024;

/**
 * Bytes that have arrived and are not yet used. Usually one chunk, adopted as it is, used up within the same call; only
 * what ends in the middle of a head or of a chunk line is gathered. Bytes given out by `take` are never written again.
 */
export class InputBuffer {
  bytes: Buffer = EMPTY;
  start = 0;
  end = 0;
  /** `bytes` was allocated here and has room behind `end`. */
  #gathering = false;

  get length(): number {
    return this.end - this.start;
  }

  push(chunk: Uint8Array): void {
    if (this.start === this.end) {
      this.bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      this.start = 0;
      this.end = chunk.byteLength;
      this.#gathering = false;
      return;
    }
    if (!this.#gathering || this.bytes.length - this.end < chunk.byteLength) {
      // Doubling keeps the cost of byte-wise arrival linear.
      const gathered = Buffer.allocUnsafe(Math.max(GATHER_BYTES_MIN, 2 * (this.length + chunk.byteLength)));
      this.bytes.copy(gathered, 0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
      this.bytes = gathered;
      this.#gathering = true;
    }
    this.bytes.set(chunk, this.end);
    this.end += chunk.byteLength;
  }

  /** Marks bytes as used. */
  skip(count: number): void {
    this.start += count;
    if (this.start === this.end) this.clear();
  }

  /** Gives out up to `bytesMax` bytes, without copying. */
  take(bytesMax: number): Uint8Array {
    const count = Math.min(bytesMax, this.length);
    const whole = count === this.bytes.length;
    const taken = whole ? this.bytes : this.bytes.subarray(this.start, this.start + count);
    this.skip(count);
    return taken;
  }

  clear(): void {
    this.bytes = EMPTY;
    this.start = 0;
    this.end = 0;
    this.#gathering = false;
  }
}
