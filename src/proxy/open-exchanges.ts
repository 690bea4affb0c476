/** Exchanges that are under way, so that those which policy would no longer let in can be found and ended. */

export interface Reviewed {
  /** Policy has changed: would it still let this one in? */
  review(): void;
}

/** Those of one side. Bounded by the streams and connections that the limits let be open. */
export class OpenExchanges {
  readonly #open = new Set<Reviewed>();
  /** All that ever were. */
  begun = 0;

  get size(): number {
    return this.#open.size;
  }

  add(exchange: Reviewed): void {
    this.begun++;
    this.#open.add(exchange);
  }

  delete(exchange: Reviewed): void {
    this.#open.delete(exchange);
  }

  review(): void {
    // One that ends while it is reviewed leaves the set under our feet.
    for (const exchange of [...this.#open]) exchange.review();
  }
}
