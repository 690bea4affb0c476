/** Work that takes longer than a request should wait for, done in between requests. */

/** How long such work goes on before others have their turn. */
const TURN_MS = 1;

/**
 * Does what yields between its pieces to the end.
 * @param nowMs monotonic.
 */
export async function inTurns<T>(work: Generator<void, T>, nowMs: () => number): Promise<T> {
  for (let sinceMs = nowMs(); ; ) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (nowMs() - sinceMs < TURN_MS) continue;
    await othersTurn();
    sinceMs = nowMs();
  }
}

/** Resolves when everything that waits for this turn of the event loop has had it. */
export function othersTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
