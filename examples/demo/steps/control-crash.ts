/** The control replica dies: traffic does not notice, and its successor goes on where the ledger ends. */

import { killAndReplace, requireChange, requireIntact, underTraffic } from "../crash.ts";
import type { Step } from "../step.ts";

export const controlCrash: Step = {
  title: "kill -9 of the control replica",
  async run(shop, say) {
    const before = await shop.readLedger();
    let revision = 0;
    const { requests } = await underTraffic(shop, async (shoppers) => {
      await killAndReplace(shoppers, "heddle control", () => shop.controlPid(), say);
      await requireIntact(shop, before);
      revision = await requireChange(shop, 'heddle shift shop/catalog v2=50% --reason "v2 does well"', say);
    });
    return `0 of ${requests} requests failed; nothing lost; revision ${revision} arrived`;
  },
};
