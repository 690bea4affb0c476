/** Takes the money: what nobody but `orders` has any business to call. */

import { serve } from "./serve.ts";

let charges = 0;

serve({
  "POST /charge": () => {
    charges += 1;
    return { status: 201, body: { charge: charges } };
  },

  "GET /charges": () => ({ body: { charges } }),
});
