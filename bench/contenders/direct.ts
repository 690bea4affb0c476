/** No proxy at all: what client, application and machine cost by themselves. */

import type { Contender } from "../contender.ts";

export const direct: Contender = {
  name: "direct",
  acceptsH2c: false,
  carriesGrpc: false,
  missing: () => undefined,
  version: async () => `Bun ${Bun.version}`,
  start: async ({ applicationPort }) => ({
    port: applicationPort,
    pids: [],
    inbound: undefined,
  }),
};
