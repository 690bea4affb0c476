/** Beta users see the new version, whatever the split. */

import { hold, type Step } from "../step.ts";
import { callMany } from "../traffic.ts";

const REQUESTS = 200;

export const stickyUsers: Step = {
  title: "Beta users always get v2",
  async run(shop) {
    const headers = { "x-sticky-user": "beta" };
    const answers = await callMany(shop, { from: "web", to: "catalog", path: "/items", headers }, REQUESTS);
    const v2 = answers.filter(({ status, version }) => status === 200 && version === "v2").length;
    hold(v2 === REQUESTS, `only ${v2} of ${REQUESTS} were answered by v2`);
    return `v2 answered ${v2} of ${REQUESTS} requests`;
  },
};
