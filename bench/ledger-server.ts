/** A nats-server with an empty ledger of its own, for as long as a measurement takes. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEventLog } from "../src/events/jetstream-log.ts";
import { connectBus } from "../src/nats/connection.ts";
import { createDirectory } from "../src/nats/directory.ts";
import { startServer } from "../src/nats/embedded-server.ts";
import type { NatsBus } from "../src/nats/nats-bus.ts";
import { findServerBinary } from "../src/nats/server-binary.ts";

export interface LedgerServer {
  /** Of a control user. */
  readonly bus: NatsBus;
  /** Gone with the server. */
  readonly directory: string;
  /** What points the command line at it. */
  readonly cli: readonly string[];
}

export async function withLedgerServer(run: (server: LedgerServer) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), "heddle-bench-"));
  try {
    const directory = await createDirectory(path, { trustDomain: "mesh.local", operator: "ada" });
    const server = await startServer({ directory, binary: await findServerBinary(process.env) });
    const credentials = await directory.controlCredentials();
    const bus = await connectBus({ url: server.url, credentials, name: "bench", onError: console.error });
    await openEventLog(bus);
    await run({ bus, directory: path, cli: ["--dir", path] });
    await bus.close();
    await server.stop();
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}
