/** Which mesh a command line means, and as whom it speaks: every command that talks to a mesh begins here. */

import { join } from "node:path";
import type { Command } from "commander";
import { readEventLog } from "../events/jetstream-log.ts";
import type { EventLog } from "../events/log.ts";
import { PermissionDenied } from "../nats/bus.ts";
import { connectBus, type NatsBus, type ServerAddress } from "../nats/connection.ts";
import { type Credentials, readCredentials } from "../nats/credentials.ts";
import { type Directory, openDirectory } from "../nats/directory.ts";
import { Failure, UsageError } from "./failure.ts";

/** Where a mesh's state is when nobody says otherwise. */
const DEFAULT_DIRECTORY = ".heddle";

/** What `connectionOptions` adds to a command. */
export interface ConnectionOptions {
  readonly dir?: string;
  readonly natsUrl?: string;
  readonly creds?: string;
}

/** Adds the options that say which mesh is meant. */
export function connectionOptions(command: Command): Command {
  return command
    .option("--dir <directory>", "state directory of the mesh (default: $HEDDLE_DIR or ./.heddle)")
    .option("--nats-url <url>", "the mesh's NATS, instead of the directory's")
    .option("--creds <file>", "credentials to use, instead of the directory's");
}

/** `--dir`, else `HEDDLE_DIR`, else `./.heddle`. */
export function directoryPath(dir: string | undefined, env: NodeJS.ProcessEnv = process.env): string {
  const named = dir ?? env.HEDDLE_DIR;
  return named === undefined || named === "" ? DEFAULT_DIRECTORY : named;
}

/** The state directory that is meant. Rejects with `Failure` where there is none. */
export async function requireDirectory(dir: string | undefined): Promise<Directory> {
  const path = directoryPath(dir);
  const directory = await openDirectory(path);
  if (directory !== undefined) return directory;
  throw new Failure(`there is no mesh in ${path}: start one with \`heddle up\`, or name its directory with --dir`);
}

/** An operator's connection to a mesh. */
export interface OperatorContext {
  readonly bus: NatsBus;
  /** Whoever holds these signs commands with their key. */
  readonly credentials: Credentials;
  /** Where the servers are, for whoever is to find them as well. */
  readonly server: ServerAddress;
  /** The ledger, to read. */
  readonly ledger: Omit<EventLog, "append">;
}

/** Connects as the operator, runs `use`, and closes. Rejects with `Failure` where the mesh cannot be reached. */
export async function withOperator<T>(
  options: ConnectionOptions,
  use: (context: OperatorContext) => Promise<T>,
): Promise<T> {
  const { url, credentials } = await operatorTarget(options);
  const bus = await connect(url, credentials);
  try {
    return await use({ bus, credentials, server: { url }, ledger: readEventLog(bus) });
  } finally {
    await bus.close();
  }
}

async function operatorTarget(options: ConnectionOptions): Promise<{ url: string; credentials: Credentials }> {
  const { dir, natsUrl, creds } = options;
  const given = creds === undefined ? undefined : await readCredentials(creds);
  // Credentials may tell where they are good. What is said by hand goes before that.
  const where = natsUrl ?? (dir === undefined ? given?.mesh?.url : undefined);
  if (where !== undefined && given !== undefined) return { url: where, credentials: given };
  if (natsUrl !== undefined && dir === undefined) {
    throw new UsageError("--nats-url needs --creds: the credentials to use there");
  }
  const directory = await requireDirectory(dir);
  const url = natsUrl ?? directory.context.url;
  if (url === undefined) {
    throw new Failure(`the mesh in ${directory.path} has never run: start it with \`${upCommand(directory)}\``);
  }
  return { url, credentials: given ?? (await directory.operatorCredentials()) };
}

async function connect(url: string, credentials: Credentials): Promise<NatsBus> {
  // What the server refuses, the request that asked for it reports.
  const onError = (): void => {};
  try {
    return await connectBus({ url, credentials, name: `heddle cli ${credentials.name}`, onError });
  } catch (error) {
    if (error instanceof PermissionDenied) throw new Failure(error.message, { cause: error });
    throw new Failure(`NATS at ${url} is out of reach: is the mesh running? (\`heddle up\`)`, { cause: error });
  }
}

/** How a person starts the mesh of a directory. */
function upCommand(directory: Directory): string {
  return directory.path === join(process.cwd(), DEFAULT_DIRECTORY) ? "heddle up" : `heddle up --dir ${directory.path}`;
}
