/**
 * A question whose answer serves everybody who asked before it was put. While it is under way, those who come wait for
 * the next one together: however many ask at once, it is put twice.
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
