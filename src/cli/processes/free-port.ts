/** Whether an address can be listened on. Somebody may take it a moment later; then whoever wanted it says so. */

import { createServer } from "node:net";

/** Tries to listen, for a moment. */
export function isFree(hostname: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: hostname, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
