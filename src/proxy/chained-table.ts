/**
 * A hash table for what comes and goes with every request. Its entries carry their own links, so that inserting one
 * allocates nothing.
 *
 * A `Map` or `Set` would do, were it not for the collector: each time that one rebuilds itself, to be rid of what was
 * deleted, it leaves behind its old storage, which points to the new one. Once such a storage has survived two
 * collections of young objects, so do all that follow it, with the requests that stood in them, until the next full
 * collection: a third of all that was allocated, and a fifth of a sidecar's CPU time, spent on marking dead requests.
 */

/** An entry. `chained` is the table's to set. */
export interface Chained<E> {
  /** An integer; constant while the entry is in the table. */
  readonly hash: number;
  /** The next one of its chain. */
  chained: E | undefined;
}

const CHAINS_MIN = 16;

export class ChainedTable<E extends Chained<E>> {
  /** As many as a power of two, and at least as many as there ever were entries at once. */
  #chains: (E | undefined)[] = new Array<undefined>(CHAINS_MIN).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The first entry of the chain in which those with this hash stand, among others; `chained` leads to the next. */
  chain(hash: number): E | undefined {
    return this.#chains[hash & (this.#chains.length - 1)];
  }

  /** Not one that is there already. */
  add(entry: E): void {
    if (this.#size === this.#chains.length) this.#grow();
    this.#size++;
    this.#link(entry);
  }

  /** False: it was not there. */
  delete(entry: E): boolean {
    const at = entry.hash & (this.#chains.length - 1);
    let previous: E | undefined;
    for (let found = this.#chains[at]; found !== undefined; found = found.chained) {
      if (found === entry) {
        if (previous === undefined) this.#chains[at] = found.chained;
        else previous.chained = found.chained;
        // What is over must not keep alive what is not.
        found.chained = undefined;
        this.#size--;
        return true;
      }
      previous = found;
    }
    return false;
  }

  /** As of now, in no order. */
  all(): E[] {
    const all: E[] = [];
    for (const first of this.#chains)
      for (let entry = first; entry !== undefined; entry = entry.chained) all.push(entry);
    return all;
  }

  #link(entry: E): void {
    const at = entry.hash & (this.#chains.length - 1);
    entry.chained = this.#chains[at];
    this.#chains[at] = entry;
  }

  #grow(): void {
    const all = this.all();
    this.#chains = new Array<undefined>(2 * this.#chains.length).fill(undefined);
    for (const entry of all) this.#link(entry);
  }
}
