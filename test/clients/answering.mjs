/** The other half of `node-child.ts`: answers questions that come as lines of JSON on standard input. */

import { createInterface } from "node:readline";

/** `answers` has a function for each `kind` of question; what it resolves with is the answer. */
export function answerQuestions(answers) {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    const { id, kind, ...question } = JSON.parse(line);
    const value = await Promise.resolve(answers[kind](question)).catch((error) => ({ error: String(error) }));
    console.log(JSON.stringify({ id, value }));
  });
  lines.on("close", () => process.exit(0));
}
