/** The ids of recent commands, so that a message that is delivered again is not carried out again. */

import type { RecordedChange } from "../events/change.ts";

/** Ids that are remembered: some 10 MB. Beyond it the oldest go; then only the expected revision protects a command. */
const COMMANDS_MAX = 50_000;

export class RecentCommands {
  /** By actor and id; in the order of time, since that is the order of arrival. */
  readonly #seen = new Map<string, number>();
  readonly #keepMs: number;

  /** @param keepMs how long an id is remembered */
  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  /** Takes note of a command; false when it was there already. */
  add(publicKey: string, id: string, nowMs: number): boolean {
    this.#forget(nowMs);
    // Ids are the asker's choice: nobody can use up those of another.
    const key = `${publicKey} ${id}`;
    if (this.#seen.has(key)) return false;
    this.#seen.set(key, nowMs);
    return true;
  }

  /** Takes note of the command behind a change, whichever replica carried it out. */
  recorded({ change }: RecordedChange): void {
    const { actor, command } = change.data;
    if (actor.publicKey !== undefined) this.add(actor.publicKey, command.id, Date.parse(change.time));
  }

  #forget(nowMs: number): void {
    for (const [key, seenMs] of this.#seen) {
      if (this.#seen.size < COMMANDS_MAX && nowMs - seenMs <= this.#keepMs) return;
      this.#seen.delete(key);
    }
  }
}
