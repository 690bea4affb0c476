/** The command that a denial names, run as it stands. */

import { hold, type Step } from "../step.ts";
import { type CallSpec, call } from "../traffic.ts";
import { remedyIn } from "./denial.ts";

const CHARGE: CallSpec = { from: "web", to: "payment", method: "POST", path: "/charge" };

export const grant: Step = {
  title: "The denial's own remedy works",
  async run(shop, say) {
    const denied = await call(shop, CHARGE);
    const command = `${remedyIn(denied.body)} --reason "web sells gift cards"`;
    const { revision, convergenceMs } = await shop.shell.change(command, say);
    const allowed = await call(shop, CHARGE);
    hold(
      allowed.status === 201,
      `after the grant web's call was answered with ${allowed.status} ${allowed.body.trim()}`,
    );
    say(`POST payment/charge as web: 201 ${allowed.body.trim()}`);
    const after =
      convergenceMs === undefined ? "" : `, enforced everywhere ${Math.round(convergenceMs)} ms after the append`;
    return `revision ${revision}${after}; 403 became 201`;
  },
};
