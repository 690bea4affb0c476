/** `--window`: how much time before a moment, or around it, calls are added up over. */

import { InvalidArgumentError } from "commander";
import { parseDuration } from "../../policy/duration.ts";

const WINDOW_MAX_MS = 24 * 3_600_000;

/** Milliseconds, for commander. */
export function parseWindow(text: string): number {
  const durationMs = parseDuration(text);
  if (durationMs !== undefined && durationMs > 0 && durationMs <= WINDOW_MAX_MS) return durationMs;
  throw new InvalidArgumentError("It must be a duration such as 10m, at most 24h.");
}
