/** An application that speaks no HTTP: a TCP server that sends back whatever it gets. */

import { createServer } from "node:net";

export interface EchoServer {
  readonly port: number;
  /** Takes no more connections. */
  close(): void;
}

/** Listens on a port of the system's choice. */
export async function startEchoServer(): Promise<EchoServer> {
  const server = createServer((socket) => socket.on("error", () => {}).pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("an echo server has no port");
  return { port: address.port, close: () => void server.close() };
}
