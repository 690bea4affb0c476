/** What a caller is told that may not call. */

import { hold, type Step } from "../step.ts";
import { call } from "../traffic.ts";

/** What a denial says last: the command, on a line of its own. */
const REMEDY = /^To allow it: (heddle allow .+)$/m;

/** The command in a denial that would allow the call. */
export function remedyIn(body: string): string {
  const command = REMEDY.exec(body)?.[1];
  hold(command !== undefined, `the denial names no command: ${body}`);
  return command;
}

export const denial: Step = {
  title: "web may not call payment",
  async run(shop, say) {
    const answer = await call(shop, { from: "web", to: "payment", method: "POST", path: "/charge" });
    hold(answer.status === 403, `web's call to payment was answered with ${answer.status}`);
    for (const line of answer.body.trim().split("\n")) say(line);
    const revision = /\(policy revision (\d+)\)/.exec(answer.body)?.[1];
    hold(revision !== undefined, "the denial names no revision");
    remedyIn(answer.body);
    return `403, with the reason, policy revision ${revision} and the command`;
  },
};
