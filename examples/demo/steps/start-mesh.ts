/** nats-server and a control replica, in a directory of their own. */

import { hold, type Step } from "../step.ts";

/** Any free port, so that the demo gets on with whatever else runs here. */
const UP = ["--operator", "demo", "--port", "0", "--control-listen", "127.0.0.1:0"];

export const startMesh: Step = {
  title: "The mesh starts",
  async run(shop, say) {
    say(`$ heddle up ${UP.join(" ")}`);
    shop.startMesh(UP);
    await shop.meshReady();
    const { lastRevision, chain } = await shop.readLedger();
    hold(chain.problems.length === 0, "a new ledger is broken");
    const [nats, control] = [await shop.natsPid(), await shop.controlPid()];
    return `nats-server is process ${nats}, control ${control}; the ledger is at revision ${lastRevision}`;
  },
};
