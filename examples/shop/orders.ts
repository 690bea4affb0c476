/** Takes orders, and has each paid before it stands. */

import { call, serve } from "./serve.ts";

interface Order {
  readonly id: number;
  readonly item: string;
}

/** The last ones only: this shop forgets. */
const ORDERS_MAX = 100;
const orders: Order[] = [];
let lastId = 0;

serve({
  "GET /orders": () => ({ body: orders }),

  "POST /checkout": async ({ context, body }) => {
    const item = itemIn(body);
    if (item === undefined) return { status: 400, body: { error: 'the body must be {"item": "name"}' } };
    const order: Order = { id: ++lastId, item };
    await call("POST", "http://payment/charge", context, { order: order.id });
    orders.push(order);
    if (orders.length > ORDERS_MAX) orders.shift();
    return { status: 201, body: order };
  },
});

function itemIn(body: unknown): string | undefined {
  if (typeof body !== "object" || body === null || !("item" in body)) return undefined;
  return typeof body.item === "string" ? body.item : undefined;
}
