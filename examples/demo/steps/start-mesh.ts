/** nats-server and a control replica, in a directory of their own. */

import { hold, type Step } from "../step.ts";
import { until } from "../until.ts";

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
    // It answers before it says so.
    const control = await until("control to say that it is ready", () => shop.controlPid());
    const nats = await shop.natsPid();
    return `nats-server is process ${nats}, control ${control}; the ledger is at revision ${lastRevision}`;
  },
};
