/** What every part of the data plane takes from outside: time, chance, bounds and timers, handed in once. */

import { Timers } from "./io/timers.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";

export interface Runtime {
  readonly limits: Limits;
  readonly timers: Timers;
  /** Monotonic milliseconds, for durations. */
  readonly monotonicMs: () => number;
  /** Unix milliseconds, for certificates and logs. */
  readonly wallMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

/** The real clock and the real dice. */
export function systemRuntime(limits: Partial<Limits> = {}): Runtime {
  const monotonicMs = (): number => performance.now();
  return {
    limits: { ...DEFAULT_LIMITS, ...limits },
    timers: new Timers(monotonicMs),
    monotonicMs,
    wallMs: Date.now,
    random: Math.random,
  };
}
