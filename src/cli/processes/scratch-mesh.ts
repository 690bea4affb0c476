/** A mesh for a moment: the ledger as it was at a revision, a NATS and a control replica, gone when it has served. */

import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectBus } from "../../nats/connection.ts";
import { createDirectory, type Directory } from "../../nats/directory.ts";
import { startServer } from "../../nats/embedded-server.ts";
import { makePrivateDirectory } from "../../nats/private-file.ts";
import { findServerBinary } from "../../nats/server-binary.ts";
import { shellQuote } from "../../proxy/filters/denial.ts";
import type { ExportedChange } from "../../replay/export.ts";
import { copyLedger } from "../mesh/ledger-copy.ts";
import { selfCommand } from "../program.ts";
import { startControlChild } from "./control-child.ts";

/** nats-server's own word for "any free port". */
const ANY_PORT = -1;

export interface ScratchOptions {
  /** From the first on, without a gap. */
  readonly changes: readonly ExportedChange[];
  readonly trustDomain: string;
  /** Who may do anything in it. */
  readonly operator: string;
}

/** What a command needs to find the mesh: `HEDDLE_DIR`, and this very program as `heddle` on the PATH. */
export type ScratchEnvironment = Readonly<Record<string, string>>;

/** Brings the mesh up, hands its environment to `use`, and takes everything away again, whatever came of it. */
export async function withScratchMesh<T>(
  options: ScratchOptions,
  use: (environment: ScratchEnvironment) => Promise<T>,
): Promise<T> {
  const root = await mkdtemp(join(tmpdir(), "heddle-scratch-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(root, { recursive: true, force: true }));
  const path = join(root, "state");
  const directory = await createDirectory(path, { trustDomain: options.trustDomain, operator: options.operator });
  const server = await startServer({ directory, binary: await findServerBinary(process.env), port: ANY_PORT });
  stack.defer(() => server.stop());
  await fill(server.url, directory, options);
  const args = ["--dir", path, "--listen", "127.0.0.1:0"];
  const control = await startControlChild({ args, logPath: join(path, "control.log") });
  stack.defer(() => control.stop());
  const bin = await programDirectory(root);
  return await use({ HEDDLE_DIR: path, PATH: `${bin}:${process.env.PATH ?? ""}` });
}

async function fill(url: string, directory: Directory, { changes }: ScratchOptions): Promise<void> {
  const credentials = await directory.controlCredentials();
  const bus = await connectBus({ url, credentials, name: "heddle scratch", onError: () => {} });
  try {
    await copyLedger(bus, directory, changes);
  } finally {
    await bus.close();
  }
}

/** A folder with a `heddle` that is this very program. */
async function programDirectory(root: string): Promise<string> {
  const bin = join(root, "bin");
  await makePrivateDirectory(bin);
  const program = join(bin, "heddle");
  await writeFile(program, `#!/bin/sh\nexec ${selfCommand([]).map(shellQuote).join(" ")} "$@"\n`);
  await chmod(program, 0o700);
  return bin;
}
