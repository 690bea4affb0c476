/** The port to the event log. Implementations pass one contract suite (test/contracts/event-log.ts). */

import type { Result } from "../policy/result.ts";
import type { Change, RecordedChange } from "./change.ts";

/** Somebody else's change came first in this namespace. */
export interface AppendConflict {
  readonly kind: "conflict";
  /** The namespace's last revision when the log refused, if the log knows it. */
  readonly lastRevision: number | undefined;
}

/** Which part of the log to read. */
export interface ReadRange {
  /** First revision, inclusive; 1 by default. */
  readonly from?: number;
  /** Last revision, inclusive; the end of the log at the time of the call by default. */
  readonly to?: number;
  /** Only this namespace. */
  readonly namespace?: string;
}

/** A subscription under way. */
export interface LogSubscription {
  /** Settles when the subscription has ended; rejects when it ended by a fault. */
  readonly closed: Promise<void>;
  stop(): void;
}

/** The ledger, as everything outside this folder knows it. */
export interface EventLog {
  /**
   * Appends if the namespace's last revision is still `expectedRevision` (0: none yet).
   * @returns the change as recorded. Rejects when the log is out of reach: then it may or may not be stored, and
   * the caller finds out by reading, since a repeated append with the same expectation cannot land twice.
   */
  append(change: Change, expectedRevision: number): Promise<Result<RecordedChange, AppendConflict>>;

  /** Changes in order of revision. Throws `LogCorruption` for what cannot be understood: never skips. */
  read(range?: ReadRange): AsyncIterable<RecordedChange>;

  /** Revision of the last change; 0 for an empty log. */
  lastRevision(): Promise<number>;

  /** Calls `onChange` for every change from `from` on, in order, those to come included, one at a time. */
  subscribe(from: number, onChange: (change: RecordedChange) => void | Promise<void>): Promise<LogSubscription>;
}

/** The log holds something that this program must not guess about: bad JSON, an unknown event, a broken chain. */
export class LogCorruption extends Error {
  override readonly name = "LogCorruption";
  constructor(
    readonly revision: number,
    message: string,
  ) {
    super(`revision ${revision}: ${message}`);
  }
}
