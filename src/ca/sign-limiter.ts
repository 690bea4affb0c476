/** How much signing is done at once, and for whom: one workload that floods it must not starve the others. */

import { Allowances } from "../projections/allowances.ts";

/** Signatures under way at once: as many as keep the cores busy. More would only make all of them late. */
const UNDER_WAY_MAX = 8;
/**
 * Requests taken and not answered yet; at a millisecond or two each, the last is answered before its asker gives up.
 */
const TAKEN_MAX = 1_024;
/** Requests that one service may make at once: as many instances may start together. */
const BURST = 200;
/** And those that it regains per second; at half-life renewal of hourly leaves that is 18,000 instances. */
const PER_SECOND = 10;

/** One token bucket per service and one bound over all. */
export class SignLimiter {
  readonly #allowances = new Allowances<string>({ burst: BURST, perSecond: PER_SECOND });
  #taken = 0;
  #underWay = 0;
  /** In order of arrival. */
  readonly #waiting: (() => void)[] = [];

  /** Undefined: go ahead, and call `leave` when done. Else why not, for the asker to read. */
  enter(service: string, nowMs: number): string | undefined {
    if (this.#taken >= TAKEN_MAX) return "the authority is busy: try again in a few seconds";
    if (!this.#allowances.take(service, nowMs))
      return `${service} asks for too many certificates: try again in a few seconds`;
    this.#taken += 1;
    return undefined;
  }

  leave(): void {
    this.#taken -= 1;
  }

  /** Does the work when it is its turn: first come, first served. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#underWay >= UNDER_WAY_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#underWay += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Whoever is next takes over this place.
      if (next === undefined) this.#underWay -= 1;
      else next();
    }
  }
}
