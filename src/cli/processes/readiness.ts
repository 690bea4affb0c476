/** How a child process tells the one that started it that it is ready: one message over the channel between them. */

import { z } from "zod";

export const readyMessage = z.strictObject({
  /** Where the child can be scraped. */
  url: z.string(),
});

export type ReadyMessage = z.infer<typeof readyMessage>;

/** Tells the parent, where there is one that listens. */
export function ready(message: ReadyMessage): void {
  process.send?.(message);
}
