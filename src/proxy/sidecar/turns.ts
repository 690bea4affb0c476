/** Work that takes longer than a request should wait for, done in between requests. */

/** How long such work goes on before others have their turn. */
const TURN_MS = 1;

/**
 * Does what yields between its pieces to the end. By the real time: clocks of the data plane stand still within a turn
 * (`src/proxy/runtime.ts`), and would never say that it is over.
 */
export async function inTurns<T>(work: Generator<void, T>): Promise<T> {
  for (let sinceMs = performance.now(); ; ) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (performance.now() - sinceMs < TURN_MS) continue;
    await othersTurn();
    sinceMs = performance.now();
  }
}

/** Resolves when everything that waits for this turn of the event loop has had it. */
export function othersTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
