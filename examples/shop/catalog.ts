/**
 * What is for sale, in two versions: VERSION=v1 (the default) lists names, v2 prices as well. Either can be told to
 * fail, as a bad release does: `POST /fail?on=true` turns every answer of `/items` into a 500, `?on=false` ends that.
 */

import { serve } from "./serve.ts";

const VERSION = process.env.VERSION ?? "v1";
const ITEMS = [
  { name: "shuttle", price: 12 },
  { name: "reed", price: 48 },
  { name: "heddle", price: 7 },
];

const headers = { "x-version": VERSION };
const items = VERSION === "v1" ? ITEMS.map(({ name }) => ({ name })) : ITEMS;
let failing = false;

serve({
  "GET /items": () => {
    if (failing) return { status: 500, headers, body: { error: `catalog ${VERSION} is broken` } };
    return { headers, body: { version: VERSION, items } };
  },

  "POST /fail": ({ url }) => {
    failing = url.searchParams.get("on") !== "false";
    return { headers, body: { failing } };
  },
});
