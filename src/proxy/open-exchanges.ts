/** Exchanges that are under way, so that those which policy would no longer let in can be found and ended. */

export interface Reviewed {
  /** Where it stands among the open ones; -1: nowhere. Theirs to set. */
  openAt: number;
  /** Policy has changed: would it still let this one in? */
  review(): void;
  /** The sidecar ends, and there is no time left for this one. */
  cutOff(): void;
}

/** Those of one side. Bounded by the streams and connections that the limits let be open. */
export class OpenExchanges {
  /** In no order. No `Set`, for the reason that `ChainedTable` gives. */
  readonly #open: Reviewed[] = [];
  /** All that ever were. */
  begun = 0;

  get size(): number {
    return this.#open.length;
  }

  add(exchange: Reviewed): void {
    this.begun++;
    exchange.openAt = this.#open.length;
    this.#open.push(exchange);
  }

  /** No effect for one that is not there. */
  delete(exchange: Reviewed): void {
    const { openAt } = exchange;
    if (openAt < 0) return;
    exchange.openAt = -1;
    const last = this.#open.pop();
    if (last === undefined || last === exchange) return;
    this.#open[openAt] = last;
    last.openAt = openAt;
  }

  review(): void {
    // One that ends while it is reviewed leaves the list under our feet.
    for (const exchange of [...this.#open]) exchange.review();
  }

  cutOff(): void {
    for (const exchange of [...this.#open]) exchange.cutOff();
  }
}
