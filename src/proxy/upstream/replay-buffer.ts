/** A request's body, kept for as long as another attempt may have to send it again. */

export class ReplayBuffer {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #replayable = true;

  /** @param bytesMax beyond it nothing is kept, and there is no second attempt. */
  constructor(private readonly bytesMax: number) {}

  /** All that came so far, while it is replayable or has yet to be sent for the first time. */
  get chunks(): readonly Uint8Array[] {
    return this.#chunks;
  }

  /** Another attempt could send the whole body again. */
  get replayable(): boolean {
    return this.#replayable;
  }

  get hasRoom(): boolean {
    return this.#bytes < this.bytesMax;
  }

  /** @param sent the chunk goes out as well: what cannot be replayed need not be kept. */
  keep(chunk: Uint8Array, sent: boolean): void {
    if (!this.#replayable && sent) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
    if (this.#bytes > this.bytesMax) this.#replayable = false;
    if (sent) this.sent();
  }

  /** What is kept has gone out. */
  sent(): void {
    if (!this.#replayable) this.release();
  }

  /** There will be no other attempt. */
  release(): void {
    this.#replayable = false;
    this.#chunks = [];
    this.#bytes = 0;
  }
}
