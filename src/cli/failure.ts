/** How a command says that it failed: in one line for the person who typed it, and in an exit code for scripts. */

/** Exit codes of every command; 0 is done. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** The command failed for a reason that its message tells in full: no stack trace is wanted. */
export class Failure extends Error {
  override readonly name: string = "Failure";
  readonly exitCode: number = EXIT_FAILED;
}

/** What was typed makes no sense. */
export class UsageError extends Failure {
  override readonly name = "UsageError";
  override readonly exitCode = EXIT_USAGE;
}
