/** The signals by which a process that runs until it is told to end is told so. */

import { readFileSync } from "node:fs";
import { EXIT_FAILED } from "../failure.ts";

/** SIGHUP is the first signal, hence the lowest bit of proc(5)'s masks. */
const HANGUP_BIT = 1n;

/**
 * Has `onStop` called at each SIGTERM and SIGINT, and when the terminal goes away, which would otherwise end the
 * process on the spot. Whoever started it under `nohup` wants it to stay then: that is left as it is.
 */
export function onStopSignals(onStop: () => void): void {
  process.on("SIGTERM", onStop).on("SIGINT", onStop);
  if (!ignoresHangup()) process.on("SIGHUP", onStop);
}

/** Aborts at the first signal to stop; a second one ends the process at once. */
export function stopRequested(): AbortController {
  const controller = new AbortController();
  onStopSignals(() => (controller.signal.aborted ? process.exit(EXIT_FAILED) : controller.abort()));
  return controller;
}

/** Linux tells; elsewhere nobody can be asked, and the answer is no. */
function ignoresHangup(): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return mask !== undefined && (BigInt(`0x${mask}`) & HANGUP_BIT) !== 0n;
  } catch {
    return false;
  }
}
