/** Waiting for what will come, but nobody tells when. */

const POLL_MS = 20;
const TIMEOUT_MS = 30_000;
/** For an endpoint to be trusted with traffic again: longer than the policy keeps one that failed out of balancing. */
export const EJECTION_TIMEOUT_MS = 75_000;

/** It will not come any more: no use in waiting for it. */
export class Hopeless extends Error {
  override readonly name = "Hopeless";
}

/**
 * Tries until `attempt` resolves, and resolves with that. Rejects, naming `what` was waited for and why it last failed,
 * when it has not come after `timeoutMs`; at once with a `Hopeless`.
 */
export async function until<T>(what: string, attempt: () => T | Promise<T>, timeoutMs = TIMEOUT_MS): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (cause) {
      if (cause instanceof Hopeless) throw cause;
      if (performance.now() > deadline) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`waited ${timeoutMs / 1000} s: ${what} (${why})`, { cause });
      }
    }
    await Bun.sleep(POLL_MS);
  }
}
