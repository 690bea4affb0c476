/** The ledger's server dies: traffic does not notice, and the ledger is as it was. */

import { killAndReplace, requireChange, requireIntact, underTraffic } from "../crash.ts";
import type { Step } from "../step.ts";

export const natsCrash: Step = {
  title: "kill -9 of nats-server",
  async run(shop, say) {
    const before = await shop.readLedger();
    let revision = 0;
    const { requests } = await underTraffic(shop, async (shoppers) => {
      await killAndReplace(shoppers, "nats-server", () => shop.natsPid(), say);
      await requireIntact(shop, before);
      say(
        `the ledger ends at revision ${before.lastRevision} as before, ${before.chain.changes} changes, chain verified`,
      );
      revision = await requireChange(shop, 'heddle shift shop/catalog v2=20% --reason "v2 is mended"', say);
    });
    return `0 of ${requests} requests failed; nothing lost; revision ${revision} arrived`;
  },
};
