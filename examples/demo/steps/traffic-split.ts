/** The canary's share, counted. */

import { hold, type Step } from "../step.ts";
import { callMany } from "../traffic.ts";

const REQUESTS = 1_000;
/** As the policy's route says. */
const SHARE = 0.1;
/** Standard deviations of the binomial distribution: an honest split is outside once in some 10,000 runs. */
const DEVIATIONS = 4;

export const trafficSplit: Step = {
  title: "90/10 between two versions",
  async run(shop, say) {
    const answers = await callMany(shop, { from: "web", to: "catalog", path: "/items" }, REQUESTS);
    const bad = answers.filter(({ status }) => status !== 200);
    hold(bad.length === 0, `${bad.length} of ${REQUESTS} requests failed: ${bad[0]?.status} ${bad[0]?.body}`);
    const v2 = answers.filter(({ version }) => version === "v2").length;
    const mean = REQUESTS * SHARE;
    const margin = Math.floor(DEVIATIONS * Math.sqrt(REQUESTS * SHARE * (1 - SHARE)));
    const bounds = `${mean - margin} to ${mean + margin}`;
    say(
      `of ${REQUESTS} requests v1 answered ${REQUESTS - v2}, v2 ${v2}; binomial, ${DEVIATIONS} standard deviations: ${bounds}`,
    );
    hold(Math.abs(v2 - mean) <= margin, `v2 answered ${v2} of ${REQUESTS}, outside ${bounds}`);
    return `v2 answered ${v2} of ${REQUESTS} requests (bounds ${bounds})`;
  },
};
