/** The event log in memory: for tests, for offline replay of an export, and as the plainest statement of the port. */

import { err, ok, type Result } from "../policy/result.ts";
import { encodeChange, recordedChange } from "./chain.ts";
import type { Change, RecordedChange } from "./change.ts";
import type { AppendConflict, EventLog, LogSubscription, ReadRange } from "./log.ts";

/** Holds bytes, as a real log does, so that what comes out has passed the same border. */
export class MemoryLog implements EventLog {
  /** The change of revision `n` is at index `n - 1`. */
  readonly #stored: { readonly namespace: string; readonly bytes: Uint8Array }[] = [];
  readonly #last = new Map<string, number>();
  #appended = Promise.withResolvers<void>();

  async append(change: Change, expectedRevision: number): Promise<Result<RecordedChange, AppendConflict>> {
    const lastRevision = this.#last.get(change.subject) ?? 0;
    if (lastRevision !== expectedRevision) return err({ kind: "conflict", lastRevision });
    const bytes = encodeChange(change);
    return ok(recordedChange(bytes, this.appendBytes(change.subject, bytes)));
  }

  /** Appends bytes as they are and returns their revision: how an export is loaded, whatever may be wrong with it. */
  appendBytes(namespace: string, bytes: Uint8Array): number {
    const revision = this.#stored.push({ namespace, bytes });
    this.#last.set(namespace, revision);
    this.#appended.resolve();
    this.#appended = Promise.withResolvers();
    return revision;
  }

  async *read(range: ReadRange = {}): AsyncGenerator<RecordedChange> {
    const to = Math.min(range.to ?? this.#stored.length, this.#stored.length);
    for (let revision = Math.max(range.from ?? 1, 1); revision <= to; revision++) {
      const stored = this.#stored[revision - 1];
      if (stored === undefined || (range.namespace !== undefined && stored.namespace !== range.namespace)) continue;
      yield recordedChange(stored.bytes, revision);
    }
  }

  async lastRevision(): Promise<number> {
    return this.#stored.length;
  }

  async subscribe(from: number, onChange: (change: RecordedChange) => void | Promise<void>): Promise<LogSubscription> {
    const stopped = Promise.withResolvers<void>();
    let running = true;
    const deliver = async (): Promise<void> => {
      for (let revision = Math.max(from, 1); running; ) {
        const appended = this.#appended.promise;
        const stored = this.#stored[revision - 1];
        if (stored === undefined) {
          await Promise.race([appended, stopped.promise]);
          continue;
        }
        await onChange(recordedChange(stored.bytes, revision));
        revision += 1;
      }
    };
    const closed = deliver();
    // A fault belongs to whoever awaits `closed`; unwatched, it must not end the process.
    closed.catch(() => {});
    const stop = (): void => {
      running = false;
      stopped.resolve();
    };
    return { closed, stop };
  }
}
