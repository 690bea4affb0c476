/** Ports for processes that must know each other's before they run. */

import { createServer } from "node:net";

/** Below what systems hand out to outgoing connections, so that nothing takes a port between our look and its use. */
const LOWEST = 20_000;
const HIGHEST = 32_000;
const ATTEMPTS_MAX = 200;

const given = new Set<number>();

/** A port of 127.0.0.1 that nobody listens on, never the same twice. Rejects where there seems to be none. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`no free port between ${LOWEST} and ${HIGHEST}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
