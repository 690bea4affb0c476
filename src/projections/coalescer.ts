/**
 * Work that is due by key, done in rounds. A key marked ten times while its round waits is worked once, from the
 * newest state: however fast changes come, what is queued is bounded by the number of keys and not of changes.
 * Within one key, one piece of work is over before the next begins, so that order is kept.
 */

import { backoffMs, messageOf, pause } from "./backoff.ts";

export interface CoalescerOptions<K> {
  /** Brings one key up to date. A rejection keeps the key due and is tried again after a pause. */
  readonly work: (key: K) => Promise<void>;
  /** Before a round: everything marked until now will be worked in it. */
  readonly onRound?: () => void;
  /** After a round in which no work was rejected. */
  readonly onRoundDone?: () => void;
  readonly warn: (message: string) => void;
  /** Uniform in [0, 1); spreads further tries. */
  readonly random?: () => number;
}

/** Keys worked at once: enough to hide one round trip behind another, few enough not to flood the broker. */
const IN_FLIGHT_MAX = 16;

export class Coalescer<K> {
  readonly #options: CoalescerOptions<K>;
  readonly #due = new Set<K>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: CoalescerOptions<K>) {
    this.#options = options;
  }

  /** True when nothing is due and nothing is being worked. */
  get idle(): boolean {
    return this.#running === undefined;
  }

  /** Makes keys due, in this order. */
  mark(keys: Iterable<K>): void {
    if (this.#stopping.signal.aborted) return;
    for (const key of keys) this.#due.add(key);
    if (this.#due.size === 0 || this.#running !== undefined) return;
    this.#running = this.#run();
  }

  /** Resolves when nothing is due any more. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Gives up what is due and waits for what is being worked. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { onRound, onRoundDone, random = Math.random, warn } = this.#options;
    const { signal } = this.#stopping;
    // What is marked in the same turn of the event loop belongs to the same round.
    await Promise.resolve();
    let failures = 0;
    while (this.#due.size > 0 && !signal.aborted) {
      onRound?.();
      const round = [...this.#due];
      this.#due.clear();
      const faults = await this.#workRound(round);
      if (signal.aborted) break;
      if (faults.length === 0) {
        failures = 0;
        onRoundDone?.();
        continue;
      }
      failures += 1;
      warn(`${faults.length} of ${round.length} writes failed and will be tried again: ${messageOf(faults[0])}`);
      await pause(backoffMs(failures, random), signal);
    }
    // Right after the last look at what is due, with nothing awaited between: whoever marks next starts a new run.
    this.#running = undefined;
  }

  /** The faults of a round, whose keys are due again. */
  async #workRound(round: readonly K[]): Promise<unknown[]> {
    const faults: unknown[] = [];
    for (let at = 0; at < round.length && !this.#stopping.signal.aborted; at += IN_FLIGHT_MAX) {
      const keys = round.slice(at, at + IN_FLIGHT_MAX);
      await Promise.all(
        keys.map(async (key) => {
          try {
            await this.#options.work(key);
          } catch (error) {
            faults.push(error);
            this.#due.add(key);
          }
        }),
      );
    }
    return faults;
  }
}
