/** `heddle import`: a ledger out of an export, in an empty mesh. */

import type { Command } from "commander";
import { foldAll } from "../../events/evolve.ts";
import { MESH_DEFAULTS } from "../../events/state.ts";
import { connectBus } from "../../nats/connection.ts";
import { createDirectory, type Directory, openDirectory } from "../../nats/directory.ts";
import { startServer } from "../../nats/embedded-server.ts";
import { findServerBinary } from "../../nats/server-binary.ts";
import { Failure } from "../failure.ts";
import { directoryPath } from "../mesh/context.ts";
import { copyLedger } from "../mesh/ledger-copy.ts";
import { type ExportedLedger, proveExport, readExport } from "../mesh/ledger-proof.ts";
import { note, printText } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";
import { onStopSignals } from "../processes/stop-signals.ts";

/** nats-server's own word for "any free port". */
const ANY_PORT = -1;

interface ImportOptions {
  readonly dir?: string;
  readonly operator?: string;
  readonly natsUrl?: string;
}

const HELP = `
The file is verified first; then every change is stored as it was, under the revision that it had. Nothing may run in the
directory meanwhile. Interrupted, it goes on when it is run again with the same file, and nothing starts there before it has
ended. Where it has the keys of the mesh that the export is of (trust/ and ca/, from a backup), that mesh goes
on as it was. Otherwise one more change enters this directory's operator and root, and \`heddle verify\` says so.

Example:
  heddle import ledger.jsonl --dir /srv/heddle && heddle up --dir /srv/heddle
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await command
    .description("Make a ledger out of an export, in an empty mesh.")
    .argument("<file>", "what `heddle export` wrote; - is the standard input")
    .option("--dir <directory>", "state directory, made if need be (default: $HEDDLE_DIR or ./.heddle)")
    .option("--operator <name>", "name of the first operator of a new directory (default: whoever sealed the export)")
    .option("--nats-url <url>", "put it there, instead of into the directory's own NATS")
    .addHelpText("after", HELP)
    .action((file: string, options: ImportOptions) => importLedger(file, options))
    .parseAsync(args, { from: "user" });
}

async function importLedger(file: string, options: ImportOptions): Promise<void> {
  const exported = await readExport(file);
  await requireSound(exported);
  const directory = await openOrCreate(exported, options);
  let isStopping = false;
  // The server that is started here has to be stopped again.
  onStopSignals(() => {
    isStopping = true;
  });
  const { url: usualUrl } = directory.context;
  const server =
    options.natsUrl === undefined
      ? await startServer({ directory, binary: await findServerBinary(process.env), port: ANY_PORT })
      : undefined;
  try {
    const url = options.natsUrl ?? server?.url ?? "";
    const credentials = await directory.controlCredentials();
    const bus = await connectBus({ url, credentials, name: "heddle import", onError: () => {} });
    try {
      const { revision, alreadyThere, adopted } = await copyLedger(bus, directory, exported.changes, () => isStopping);
      printText(`imported ${revision} changes into ${directory.path}`);
      if (alreadyThere > 0) note(`${alreadyThere} of them were there already`);
      if (adopted !== undefined) note(`revision ${adopted} enters this mesh's own operator and root`);
    } finally {
      await bus.close();
    }
  } finally {
    await server?.stop();
    // The port that it listened on was for the import only.
    if (server !== undefined) await directory.remember({ url: usualUrl });
  }
}

/** Rejects with `Failure` for what is no whole ledger, or not what was exported. */
async function requireSound(exported: ExportedLedger): Promise<void> {
  const { problems } = await proveExport(exported, () => []);
  for (const { kind, revision, message } of problems) note(`${kind} at revision ${revision}: ${safeText(message)}`);
  if (problems.length > 0) throw new Failure("nothing was imported: the file is not what was exported");
  const base = exported.seal?.data.base.revision ?? 0;
  if (base > 0)
    throw new Failure(`nothing was imported: the export begins after revision ${base}, and a ledger at its first`);
  if (exported.changes.length === 0) throw new Failure("nothing was imported: the export holds no change");
}

async function openOrCreate({ changes, seal }: ExportedLedger, { dir, operator }: ImportOptions): Promise<Directory> {
  const path = directoryPath(dir);
  const state = foldAll(changes.map(({ recorded }) => recorded));
  const trustDomain = state.mesh?.value.trustDomain ?? MESH_DEFAULTS.trustDomain;
  const existing = await openDirectory(path);
  if (existing === undefined) {
    return createDirectory(path, { trustDomain, operator: operator ?? seal?.data.actor.name ?? "admin" });
  }
  const known = existing.context.trustDomain;
  if (known === trustDomain) return existing;
  throw new Failure(`the export is of the mesh ${trustDomain}, and ${existing.path} is ${known}'s: use another --dir`);
}
