/** Faults of our own: what throws where nothing may. One connection may die of one, the others must not. */

/** Told of an exception that was caught between two connections, so that somebody can mend what threw it. */
export type OnBug = (error: unknown) => void;

/** Where nobody listens, a bug ends the process, but not before what is at hand is in order. */
export function crash(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** Errors of sockets and TLS bear a code. What our own code throws does not, or says that a call was wrong. */
export function isBug(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return true;
  return typeof (error as { readonly code?: unknown } | null | undefined)?.code !== "string";
}
