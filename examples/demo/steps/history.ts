/** Who did what, when and why. */

import { hold, type Step } from "../step.ts";

/** Why this story's changes were made, as its steps said. */
const REASONS = [
  "open the shop",
  "web sells gift cards",
  "a new v2 is being deployed",
  "try the new v2 on half of all",
  "the new v2 answers 500",
];

export const history: Step = {
  title: "heddle log tells who, when, why",
  async run(shop, say) {
    say("$ heddle log");
    const lines = (await shop.shell.run("heddle log")).trimEnd().split("\n");
    for (const line of lines) say(line);
    const missing = REASONS.filter((reason) => !lines.some((line) => line.includes(reason)));
    hold(missing.length === 0, `the log does not know why: ${missing.join(", ")}`);
    return `${lines.length - 1} changes, each with its author and reason`;
  },
};
