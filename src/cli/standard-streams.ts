/** The standard output and error, whose readers may leave, and whose disk may be full. */

import { EXIT_FAILED } from "./failure.ts";

/**
 * Keeps a closed pipe from ending what is under way: a change that was sent, or a mesh that runs. Only a command that
 * merely shows something (`endsUnread`) ends with its reader, as in `heddle log | head`. Output that could not be
 * written is reported and fails the command; remarks that could not be written are lost.
 */
export function guardStandardStreams(endsUnread: boolean): void {
  let isTold = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    const isReaderGone = error.code === "EPIPE";
    if (!isReaderGone && !isTold) {
      isTold = true;
      process.stderr.write(`heddle: the output could not be written: ${error.message}\n`);
      process.exitCode = EXIT_FAILED;
    }
    if (endsUnread) process.exit(isReaderGone ? 0 : EXIT_FAILED);
  });
  process.stderr.on("error", () => {});
}

/** Resolves when all that was written so far has gone out, or cannot any more. */
export async function flushStandardStreams(): Promise<void> {
  const streams = [process.stdout, process.stderr];
  await Promise.all(streams.map((stream) => new Promise<void>((resolve) => stream.write("", () => resolve()))));
}
