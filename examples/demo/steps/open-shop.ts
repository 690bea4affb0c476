/** Six instances of five services, a sidecar beside each, and the shop's policy. */

import { hold, type Step } from "../step.ts";
import { call } from "../traffic.ts";
import { until } from "../until.ts";

const APPLY = 'heddle apply -f examples/shop/policy.yaml --reason "open the shop"';

export const openShop: Step = {
  title: "The shop opens",
  async run(shop, say) {
    const { revision } = await shop.shell.change(APPLY, say);
    for (const instance of shop.instances) {
      shop.startService(instance);
      shop.startSidecar(instance);
    }
    await Promise.all(shop.instances.map((instance) => shop.ready(instance)));
    // Ready is each for itself; that they have found each other shows in a page and an order.
    await until("both versions of the catalog to be found", async () => {
      for (const user of ["anyone", "beta"]) {
        const headers = { "x-sticky-user": user };
        const { status, body } = await call(shop, { from: "web", to: "catalog", path: "/items", headers });
        hold(status === 200, `${status} ${body.trim()}`);
      }
    });
    const web = `http://127.0.0.1:${shop.instance("web").ports.service}`;
    const order = await until("an order to be paid for", async () => {
      const body = JSON.stringify({ item: "heddle" });
      const response = await fetch(`${web}/checkout`, { method: "POST", body, proxy: "" });
      const text = (await response.text()).trim();
      hold(response.status === 201, `${response.status} ${text}`);
      return text;
    });
    say(`POST ${web}/checkout: web → orders → payment: 201 ${order}`);
    return `${shop.instances.length} instances serve under policy revision ${revision}; an order was placed and paid for`;
  },
};
