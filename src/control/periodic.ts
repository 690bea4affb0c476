/** Work that is done again and again, one time after the other. */

/**
 * Does the work every so many milliseconds, but never twice at once: while it is still under way, a turn is left out.
 * Returns what ends it, and waits for the work at hand. `work` must not reject.
 */
export function repeat(everyMs: number, work: () => Promise<void>): () => Promise<void> {
  let working: Promise<void> | undefined;
  const timer = setInterval(() => {
    working ??= work().finally(() => {
      working = undefined;
    });
  }, everyMs);
  return async () => {
    clearInterval(timer);
    await working;
  };
}
