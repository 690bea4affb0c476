/** Asks before anything is changed. */

import { createInterface } from "node:readline/promises";
import { Failure } from "../failure.ts";

/** Resolves when the answer is yes. Rejects with `Failure` when it is not, or there is nobody to ask. */
export async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new Failure("nothing was changed: there is no terminal to ask on; say --yes to go ahead without asking");
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // Ctrl-C and Ctrl-D close the terminal, and the question would wait for ever.
    const left = Promise.withResolvers<string>();
    terminal.once("close", () => left.resolve(""));
    const answer = await Promise.race([terminal.question(`${question} [y/N] `), left.promise]);
    if (!/^y(?:es)?$/i.test(answer.trim())) throw new Failure("nothing was changed");
  } finally {
    terminal.close();
  }
}
