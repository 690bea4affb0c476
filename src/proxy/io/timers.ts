/**
 * Timeouts by the hundred thousand: most are cancelled before they fire, so arming and cancelling must cost next to
 * nothing. Timers of one duration expire in the order in which they were armed, so each duration keeps a doubly
 * linked list; one wake-up, at the earliest of the heads, serves them all. Precision is `TICK_MS`, to which durations
 * are rounded up, so that those a peer chooses share a few lists: enough for timeouts, wrong for anything else.
 */

import { crash, type OnBug } from "./bug.ts";

const TICK_MS = 10;
/** What the runtime can wait for at once; a longer wait looks in between. */
const SLEEP_MAX_MS = 2 ** 31 - 1;

/** A ring whose `head` is a sentinel: `head.next` expires first. */
interface TimerList {
  readonly head: Timer;
}

/** One timeout, reusable; embed one per object that needs it. Not armed until `Timers.arm`. */
export class Timer {
  /** Neighbours in the list of this duration; itself when not armed. */
  previous: Timer = this;
  next: Timer = this;
  deadlineMs = 0;

  constructor(readonly onExpiry: () => void) {}

  get armed(): boolean {
    return this.next !== this;
  }

  /** Idempotent. */
  cancel(): void {
    this.previous.next = this.next;
    this.next.previous = this.previous;
    this.previous = this;
    this.next = this;
  }
}

export class Timers {
  readonly #lists = new Map<number, TimerList>();
  readonly #now: () => number;
  readonly #onBug: OnBug;
  #wake: ReturnType<typeof setTimeout> | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;

  /** @param now a monotonic clock in milliseconds. */
  constructor(now: () => number, onBug: OnBug = crash) {
    this.#now = now;
    this.#onBug = onBug;
  }

  /** Arms, or arms anew, a timer `timeoutMs` from now. */
  arm(timer: Timer, timeoutMs: number): void {
    if (timer.armed) timer.cancel();
    const durationMs = Math.ceil(timeoutMs / TICK_MS) * TICK_MS;
    let list = this.#lists.get(durationMs);
    if (list === undefined) {
      list = { head: new Timer(() => {}) };
      this.#lists.set(durationMs, list);
    }
    const nowMs = this.#now();
    timer.deadlineMs = nowMs + durationMs;
    const last = list.head.previous;
    last.next = timer;
    timer.previous = last;
    timer.next = list.head;
    list.head.previous = timer;
    // Under load the earliest deadline is already awaited, so this is almost always false.
    if (timer.deadlineMs < this.#wakeAtMs - TICK_MS) this.#wakeAt(timer.deadlineMs, nowMs);
  }

  /** Fires what is due and sleeps until the next deadline. */
  expire(): void {
    const nowMs = this.#now();
    for (const list of this.#lists.values()) {
      for (let timer = list.head.next; timer !== list.head && timer.deadlineMs <= nowMs; timer = list.head.next) {
        timer.cancel();
        try {
          timer.onExpiry();
        } catch (error) {
          // The other timers, and the next wake-up, are not its to lose.
          this.#onBug(error);
        }
      }
    }
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const [durationMs, list] of this.#lists) {
      if (list.head.armed) earliestMs = Math.min(earliestMs, list.head.next.deadlineMs);
      else this.#lists.delete(durationMs);
    }
    this.#wakeAt(earliestMs, nowMs);
  }

  /** Forgets every wake-up; armed timers wait for the next `arm`. */
  stop(): void {
    this.#wakeAt(Number.POSITIVE_INFINITY, 0);
  }

  #wakeAt(deadlineMs: number, nowMs: number): void {
    clearTimeout(this.#wake);
    this.#wakeAtMs = deadlineMs;
    if (deadlineMs === Number.POSITIVE_INFINITY) return;
    this.#wake = setTimeout(
      () => {
        // Whatever a handler arms while we look must be able to wake us.
        this.#wakeAtMs = Number.POSITIVE_INFINITY;
        this.expire();
      },
      Math.min(SLEEP_MAX_MS, Math.max(TICK_MS, deadlineMs - nowMs)),
    );
    // What a timeout guards keeps the process alive, not the timeout: one that was cancelled may still be awaited here.
    this.#wake.unref();
  }
}
