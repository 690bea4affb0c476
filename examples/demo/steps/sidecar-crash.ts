/** One sidecar dies: its callers go elsewhere, and it comes back as who it was. */

import { PAGES, underTraffic } from "../crash.ts";
import { sidecarOf } from "../shop.ts";
import { hold, type Step } from "../step.ts";
import { EJECTION_TIMEOUT_MS, until } from "../until.ts";

const VICTIM = "catalog-v1b";

export const sidecarCrash: Step = {
  title: "kill -9 of a sidecar",
  async run(shop, say) {
    const victim = shop.instance(VICTIM);
    const web = shop.instance("web");
    const before = await shop.sidecar(victim);
    const retriesBefore = await shop.metric(web, "heddle_retries_total");
    const { requests } = await underTraffic(shop, async (shoppers) => {
      const pid = await shop.processes.kill(sidecarOf(VICTIM));
      say(`$ kill -9 ${pid}    # the sidecar of ${VICTIM}`);
      await shoppers.served(PAGES);
      shop.processes.restart(sidecarOf(VICTIM));
      await shop.ready(victim);
      const hasTraffic = async (): Promise<void> => {
        const received = await shop.metric(victim, "istio_requests_total", 'reporter="destination"');
        hold(received > 0, "it has received no request");
      };
      await until(`${VICTIM} to get traffic again`, hasTraffic, EJECTION_TIMEOUT_MS);
    });
    const after = await shop.sidecar(victim);
    hold(after.certificateChain === before.certificateChain, `${VICTIM} came back with another certificate`);
    hold(after.revision === before.revision, `${VICTIM} came back at revision ${after.revision}`);
    say(`${after.spiffeId} is back with its certificate and revision ${after.revision}, and gets traffic`);
    const retries = (await shop.metric(web, "heddle_retries_total")) - retriesBefore;
    return `0 of ${requests} requests failed; ${retries} went to the other instance on a second attempt`;
  },
};
