/**
 * Shares one question among its askers. An answer serves everybody who asked before the question was sent; whoever asks
 * while it is under way waits for the next one. However many ask at once, it is sent twice.
 */
export class SharedLook<T> {
  #current: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(private readonly ask: () => Promise<T>) {}

  /** Resolves with an answer to a question that was put after this call. */
  look(): Promise<T> {
    this.#next ??= this.#askAfter(this.#current);
    return this.#next;
  }

  async #askAfter(former: Promise<T> | undefined): Promise<T> {
    // Its failure is told to those who wait for it.
    await former?.catch(() => {});
    this.#current = this.#next;
    this.#next = undefined;
    return this.ask();
  }
}
