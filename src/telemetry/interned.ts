/** Label sets, each turned into one thing once. */

export type Labels = Readonly<Record<string, string>>;

/** What every label says of the series that stands for all that found no place of their own. */
const OVERFLOW = "overflow";

/**
 * One `T` per label set, made when first asked for. Cardinality is an attack: past `max`, whatever is new gets one
 * shared `T`, whose labels all say `overflow`. Callers name the labels always in the same order.
 */
export class Interned<T> {
  readonly #max: number;
  readonly #make: (labels: Labels) => T;
  readonly #byKey = new Map<string, T>();
  #overflow: T | undefined;

  constructor(max: number, make: (labels: Labels) => T) {
    this.#max = max;
    this.#make = make;
  }

  get(labels: Labels): T {
    const key = keyOf(labels);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#byKey.size >= this.#max) {
      this.#overflow ??= this.#make(Object.fromEntries(Object.keys(labels).map((name) => [name, OVERFLOW])));
      return this.#overflow;
    }
    const made = this.#make(labels);
    this.#byKey.set(key, made);
    return made;
  }

  /** True for the shared one. */
  isOverflow(value: T): boolean {
    return value === this.#overflow;
  }

  delete(labels: Labels): void {
    this.#byKey.delete(keyOf(labels));
  }

  *values(): Iterable<T> {
    yield* this.#byKey.values();
    if (this.#overflow !== undefined) yield this.#overflow;
  }
}

/** Label values hold no NUL: they are names from policy, SPIFFE IDs and numbers. */
function keyOf(labels: Labels): string {
  return Object.values(labels).join("\0");
}
