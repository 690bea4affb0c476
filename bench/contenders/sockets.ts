/** What the runtime itself takes for two hops: the floor of any proxy that is written on it. */

import { fileURLToPath } from "node:url";
import type { Identity } from "../certificates.ts";
import type { Contender } from "../contender.ts";
import { freePort, type PinnedProcess, PROXY_CORE, spawnPinned, untilServing } from "../process.ts";

const SCRIPT = fileURLToPath(new URL("../sockets.ts", import.meta.url));

export const sockets: Contender = {
  name: "bun-sockets",
  acceptsH2c: false,
  carriesGrpc: false,
  missing: () => undefined,
  version: async () => `Bun ${Bun.version}: bytes carried over mutual TLS, no HTTP read`,
  async start({ applicationPort, certificates: { caller, called }, defer }) {
    const [port, between] = [await freePort(), await freePort()];
    const hop = (role: string, from: number, to: number, { certificate, key, roots }: Identity): PinnedProcess => {
      const args = [role, String(from), String(to), certificate, key, roots];
      return spawnPinned(PROXY_CORE, [process.execPath, SCRIPT, ...args], defer);
    };
    const b = hop("called", between, applicationPort, called);
    await untilListening(between);
    const a = hop("caller", port, between, caller);
    await untilServing(port, "/130");
    return { port, pids: [a.pid, b.pid], inbound: undefined };
  },
};

const POLL_MS = 20;

/** Its first connection is for ever, so it must not come too early. */
async function untilListening(port: number): Promise<void> {
  for (;;) {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
      socket.terminate();
      return;
    } catch {
      await Bun.sleep(POLL_MS);
    }
  }
}
