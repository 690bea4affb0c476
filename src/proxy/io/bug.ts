/** Our own bugs: exceptions where nothing may throw. One may end its connection, but no other. */

/** Told of an exception that was caught between two connections, so that somebody can mend what threw it. */
export type OnBug = (error: unknown) => void;

/** Without a listener, a bug ends the process, once the state at hand is consistent again. */
export function crash(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** Errors of sockets and TLS have a code. Errors that our own code throws have none, or one of a wrong call. */
export function isBug(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return true;
  return typeof (error as { readonly code?: unknown } | null | undefined)?.code !== "string";
}
