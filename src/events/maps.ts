/**
 * How a fold gets from one map to the next. States that are kept share what did not change and copy what did. A fold
 * that hands out only its last state need not copy at every step: once it has copied a map, it owns that copy and
 * writes to it in place.
 */

export interface Maps {
  /** A map that has this entry beside those of `map`. */
  withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V>;
  withoutEntry<K, V>(map: ReadonlyMap<K, V>, key: K): ReadonlyMap<K, V>;
}

/** Every state stays what it is. */
export const COPIED_MAPS: Maps = {
  withEntry: (map, key, value) => new Map(map).set(key, value),
  withoutEntry(map, key) {
    const copy = new Map(map);
    copy.delete(key);
    return copy;
  },
};

/**
 * For one fold, of which only the last state is kept: the states before it are void once it goes on. Maps that were
 * there before it are copied the first time.
 */
export class OwnedMaps implements Maps {
  readonly #own = new WeakSet<ReadonlyMap<unknown, unknown>>();

  withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
    return this.#owned(map).set(key, value);
  }

  withoutEntry<K, V>(map: ReadonlyMap<K, V>, key: K): ReadonlyMap<K, V> {
    const own = this.#owned(map);
    own.delete(key);
    return own;
  }

  #owned<K, V>(map: ReadonlyMap<K, V>): Map<K, V> {
    if (map instanceof Map && this.#own.has(map)) return map;
    const copy = new Map(map);
    this.#own.add(copy);
    return copy;
  }
}
