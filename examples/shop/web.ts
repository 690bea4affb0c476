/** The shop's front page: what is for sale, and what was ordered; and buying. */

import { call, serve } from "./serve.ts";

serve({
  "GET /": async ({ context }) => {
    const [catalog, orders] = await Promise.all([
      call("GET", "http://catalog/items", context),
      call("GET", "http://orders/orders", context),
    ]);
    return { body: { catalog, orders } };
  },

  "POST /checkout": async ({ context, body }) => {
    return { status: 201, body: await call("POST", "http://orders/checkout", context, body) };
  },
});
