/** Every port between services wants a certificate of this mesh, and takes its holder for nobody else. */

import { spiffeId } from "../../../src/policy/names.ts";
import { foreignCertificate } from "../foreign-authority.ts";
import { askPlain, askTls, type Reply } from "../peer.ts";
import { TRUST_DOMAIN } from "../shop.ts";
import { hold, type Step } from "../step.ts";

export const mutualTls: Step = {
  title: "Mutual TLS on every hop",
  async run(shop, say) {
    const web = await shop.credentials(shop.instance("web"));
    for (const { name, service, ports } of shop.instances) {
      refused(await askPlain(ports.inbound, "GET", "/"), `${name} answered in plain text`);
      const { server } = await askTls(ports.inbound, web, "GET", "/");
      const expected = spiffeId(TRUST_DOMAIN, "shop", service);
      hold(server === expected, `${name} shows ${server}, not ${expected}`);
      say(`:${ports.inbound} refuses plain text, and proves to be ${server}`);
    }

    const { inbound } = shop.instance("payment").ports;
    refused(await askTls(inbound, undefined, "POST", "/charge"), "payment answered a client without a certificate");
    say("payment to a client without a certificate: closed, nothing sent");
    const orders = await shop.credentials(shop.instance("orders"));
    const forged = await foreignCertificate(TRUST_DOMAIN, orders.identity.id);
    refused(await askTls(inbound, forged, "POST", "/charge"), "payment believed another authority");
    say(`payment to ${orders.identity.id} signed by a foreign authority: closed, nothing sent`);

    const asWeb = await askTls(inbound, web, "POST", "/charge");
    const reason = /^x-heddle-denied: (.*?)\. /im.exec(asWeb.text)?.[1];
    hold(asWeb.status === 403 && reason !== undefined, `payment answered web's certificate with ${asWeb.status}`);
    say(`payment to ${web.identity.id}: 403, ${reason}`);
    const asOrders = await askTls(inbound, orders, "POST", "/charge");
    hold(asOrders.status === 201, `payment answered orders' certificate with ${asOrders.status}`);
    say(`payment to ${orders.identity.id}: 201`);
    return `${shop.instances.length} of ${shop.instances.length} ports: plain text, no certificate, foreign authority all refused`;
  },
};

function refused(reply: Reply, otherwise: string): void {
  hold(reply.status === undefined && !reply.text.includes("HTTP/"), `${otherwise}: ${reply.text.slice(0, 100)}`);
}
