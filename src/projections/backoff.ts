/** Waiting before another try at something that the network refused. */

import { setTimeout as delay } from "node:timers/promises";

/** The first pause; each further failure doubles it. */
const FIRST_PAUSE_MS = 100;
/** Long enough to leave a broker alone that is starting, short enough that nobody waits for us when it is back. */
const LONGEST_PAUSE_MS = 5_000;

/**
 * Milliseconds to wait after `failures` (1 or more) in a row: exponential, between half and all of the step, so that
 * replicas that lost the same broker do not come back in step.
 * @param random uniform in [0, 1)
 */
export function backoffMs(failures: number, random: () => number): number {
  const step = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
  return step * (0.5 + random() / 2);
}

/** Resolves after `durationMs`, or at once when `signal` is aborted. */
export async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(durationMs, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** What went wrong, for a warning. */
export function messageOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault);
}
