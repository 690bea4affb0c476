/** A release that fails half of the shoppers, and the way back in one command. */

import type { Shop } from "../shop.ts";
import { hold, type Step } from "../step.ts";
import { call, callMany } from "../traffic.ts";
import { EJECTION_TIMEOUT_MS, until } from "../until.ts";

const PREPARE = 'heddle shift shop/catalog v2=0% --reason "a new v2 is being deployed"';
const RELEASE = 'heddle shift shop/catalog v2=50% --reason "try the new v2 on half of all"';

const REQUESTS = 400;
/** Of half the traffic, retried within the same broken version: anything below would not be that release's doing. */
const FAILED_SHARE_MIN = 0.1;

export const badCanary: Step = {
  title: "A bad canary is rolled back",
  async run(shop, say) {
    const prepared = await shop.shell.change(PREPARE, say);
    await breakRelease(shop, true);
    say("the new v2 is deployed, and answers every request with 500");
    await shop.shell.change(RELEASE, say);
    const during = await measure(shop);
    say(
      `${during.failed} of ${REQUESTS} requests failed (${percent(during.failed)}); ${during.retries} retries did not save them`,
    );
    hold(during.failed >= REQUESTS * FAILED_SHARE_MIN, "the bad release did no harm: there was nothing to roll back");

    const rollback = `heddle rollback ${prepared.revision} --reason "the new v2 answers 500"`;
    const { convergenceMs } = await shop.shell.change(rollback, say);
    const after = await measure(shop);
    say(`${after.failed} of ${REQUESTS} requests failed, ${after.retries} were retried`);
    hold(
      after.failed === 0 && after.retries === 0,
      `after the rollback ${after.failed} of ${REQUESTS} requests failed`,
    );
    await breakRelease(shop, false);
    // Later steps send traffic to v2 again, which may have been taken out of balancing for its errors for a while.
    await until("the mended v2 to serve", () => betaUserIsServed(shop), EJECTION_TIMEOUT_MS);
    const enforced = convergenceMs === undefined ? "" : `, in force after ${Math.round(convergenceMs)} ms`;
    return `${percent(during.failed)} errors; one command${enforced}; then ${after.failed} of ${REQUESTS}`;
  },
};

/** Flips the switch that the catalog has for this; straight to the service, as its own operator would. */
async function breakRelease(shop: Shop, on: boolean): Promise<void> {
  const { service } = shop.instance("catalog-v2").ports;
  const response = await fetch(`http://127.0.0.1:${service}/fail?on=${on}`, { method: "POST", proxy: "" });
  hold(response.ok, `the switch of catalog-v2 answered ${response.status}`);
}

async function betaUserIsServed(shop: Shop): Promise<void> {
  const headers = { "x-sticky-user": "beta" };
  const { status, body } = await call(shop, { from: "web", to: "catalog", path: "/items", headers });
  hold(status === 200, `${status} ${body.trim()}`);
}

/** What users see, and how often web's sidecar tried again on their behalf. */
async function measure(shop: Shop): Promise<{ failed: number; retries: number }> {
  const web = shop.instance("web");
  const before = await shop.metric(web, "heddle_retries_total");
  const answers = await callMany(shop, { from: web.name, to: "catalog", path: "/items" }, REQUESTS);
  const retries = (await shop.metric(web, "heddle_retries_total")) - before;
  return { failed: answers.filter(({ status }) => status !== 200).length, retries };
}

function percent(failed: number): string {
  return `${Math.round((failed / REQUESTS) * 100)} %`;
}
