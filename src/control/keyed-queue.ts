/** A bounded queue of work: one piece at a time for each key, different keys side by side. */

export class KeyedQueue {
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #max: number;
  #size = 0;

  /** @param max pieces that wait or are worked at, of all keys together */
  constructor(max: number) {
    this.#max = max;
  }

  /** Runs `work` after everything of the same key that came before. Undefined: the queue is full. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> | undefined {
    if (this.#size >= this.#max) return undefined;
    this.#size += 1;
    const before = this.#tails.get(key) ?? Promise.resolve();
    const result = before.then(work);
    const tail = result
      .catch(() => {})
      .then(() => {
        this.#size -= 1;
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
      });
    this.#tails.set(key, tail);
    return result;
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }
}
