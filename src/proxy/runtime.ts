/** What every part of the data plane takes from outside: time, chance, bounds and timers, handed in once. */

import { releaseExecutablePages } from "./executable-pages.ts";
import { httpDateClock } from "./http-date.ts";
import { crash, type OnBug } from "./io/bug.ts";
import { Timers } from "./io/timers.ts";
import { turnClock } from "./io/turn.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";

export interface Runtime {
  readonly limits: Limits;
  readonly timers: Timers;
  /** Monotonic milliseconds, for durations. As all clocks here, it tells the time at which the turn began. */
  readonly monotonicMs: () => number;
  /** The same in nanoseconds. */
  readonly monotonicNs: () => number;
  /** Unix milliseconds, for certificates and logs. */
  readonly wallMs: () => number;
  /** `wallMs` as a value of `Date`. */
  readonly httpDate: () => string;
  /** In [0, 1). */
  readonly random: () => number;
  readonly onBug: OnBug;
  /**
   * Collects garbage, upon which unused heap goes back to the system, and pages of the program that only the start needed
   * with it; of compiled code, what has run of late stays. Takes milliseconds, in which nothing else happens.
   */
  readonly returnMemory: () => void;
}

/** The real clock and the real dice. */
export function systemRuntime(limits: Partial<Limits> = {}, onBug: OnBug = crash): Runtime {
  const monotonicNs = turnClock(Bun.nanoseconds);
  const monotonicMs = (): number => monotonicNs() / 1e6;
  const wallMs = turnClock(Date.now);
  return {
    limits: { ...DEFAULT_LIMITS, ...limits },
    // Not by the time at which the turn began: nothing may fire early.
    timers: new Timers(() => performance.now(), onBug),
    monotonicMs,
    monotonicNs,
    wallMs,
    httpDate: httpDateClock(wallMs),
    random: Math.random,
    onBug,
    returnMemory: () => {
      Bun.gc(true);
      void releaseExecutablePages();
    },
  };
}
