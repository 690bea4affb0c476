/** Which mesh a command line means, and as whom it speaks: every command that talks to a mesh begins here. */

import { isAbsolute, join } from "node:path";
import type { Command } from "commander";
import { readEventLog } from "../../events/jetstream-log.ts";
import type { EventLog } from "../../events/log.ts";
import { PermissionDenied } from "../../nats/bus.ts";
import { connectBus } from "../../nats/connection.ts";
import type { Credentials } from "../../nats/credentials.ts";
import { type Directory, openDirectory } from "../../nats/directory.ts";
import type { NatsBus } from "../../nats/nats-bus.ts";
import type { ServerAddress } from "../../nats/server-address.ts";
import { Failure, UsageError } from "../failure.ts";
import { ContextStore, type ServerContext } from "./context-store.ts";
import { givenCredentials } from "./given-credentials.ts";
import { chosenServer, type ServerOptions, serverOfCredentials, serverOptions } from "./server-options.ts";

/** Where a mesh's state is when nobody says otherwise. */
const DEFAULT_DIRECTORY = ".heddle";

/** What `connectionOptions` adds to a command. */
export interface ConnectionOptions extends ServerOptions {
  readonly context?: string;
}

/** Adds the options that say which mesh is meant. */
export function connectionOptions(command: Command): Command {
  return serverOptions(command).option("--context <name>", "a mesh that `heddle context` knows (or $HEDDLE_CONTEXT)");
}

/** `--dir`, else `HEDDLE_DIR`, else `./.heddle`. Throws `Failure` where it is relative to a folder that is gone. */
export function directoryPath(dir: string | undefined, env: NodeJS.ProcessEnv = process.env): string {
  const path = namedBy(dir) ?? namedBy(env.HEDDLE_DIR) ?? DEFAULT_DIRECTORY;
  if (isAbsolute(path) || workingDirectory() !== undefined) return path;
  throw new Failure(
    "the current directory was removed: go to one that is there, or name the mesh's in full with --dir",
  );
}

/** Whether a directory is the one that is meant where nobody says otherwise. */
export function isDefaultDirectory({ path }: Directory): boolean {
  const here = workingDirectory();
  return here !== undefined && path === join(here, DEFAULT_DIRECTORY);
}

/** Undefined where it was removed: Bun then resolves paths from where it is installed, and keys would end up there. */
function workingDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/** The state directory that is meant. Rejects with `Failure` where there is none. */
export async function requireDirectory(dir: string | undefined): Promise<Directory> {
  const path = directoryPath(dir);
  const directory = await openDirectory(path);
  if (directory !== undefined) return directory;
  throw new Failure(`there is no mesh in ${path}: start one with \`heddle up\`, or name its directory with --dir`);
}

/** Rejects a directory whose import was interrupted: a decision on a partial ledger would fork it for good. */
export function requireWholeLedger({ path, context: { importing } }: Directory): void {
  if (importing === undefined) return;
  throw new Failure(
    `an import of ${importing} changes into ${path} has not ended: run \`heddle import\` with the same file again, and it goes on`,
  );
}

/** An operator's connection to a mesh. */
export interface OperatorContext {
  readonly bus: NatsBus;
  /** Whoever holds these signs commands with their key. */
  readonly credentials: Credentials;
  /** Where the servers are. */
  readonly server: ServerAddress;
  /** Where the servers are, as others than this machine find them. */
  readonly publicServer: ServerAddress;
  /** The ledger, to read. */
  readonly ledger: Omit<EventLog, "append">;
}

/** Connects as the operator, runs `use`, and closes. Rejects with `Failure` where the mesh cannot be reached. */
export async function withOperator<T>(
  options: ConnectionOptions,
  use: (context: OperatorContext) => Promise<T>,
): Promise<T> {
  const { server, publicServer, credentials } = await operatorTarget(options);
  const bus = await connect(server, credentials);
  try {
    return await use({ bus, credentials, server, publicServer, ledger: readEventLog(bus) });
  } finally {
    await bus.close();
  }
}

/** Whom to be, and where. */
interface OperatorTarget {
  readonly server: ServerAddress;
  readonly publicServer: ServerAddress;
  readonly credentials: Credentials;
}

/** Which mesh is meant when no option says where NATS is. */
export type MeshSource =
  | { readonly kind: "context"; readonly name: string; readonly context: ServerContext }
  | { readonly kind: "directory"; readonly directory: Directory };

/**
 * The mesh that is meant: `--context`, `--dir`, `$HEDDLE_DIR`, `$HEDDLE_CONTEXT`, `./.heddle` where there is one, and
 * else the context in use. What lies here goes before what was chosen some time ago. Rejects with `Failure` where that
 * is no mesh.
 */
export async function meshSource(
  { context: name, dir }: Pick<ConnectionOptions, "context" | "dir">,
  env: NodeJS.ProcessEnv = process.env,
): Promise<MeshSource> {
  if (name !== undefined && dir !== undefined) throw new UsageError("--context and --dir name two meshes: choose one");
  const store = ContextStore.of(env);
  const ofContext = async (chosen: string): Promise<MeshSource> => {
    const context = await store.get(chosen);
    if (context.kind !== "directory") return { kind: "context", name: chosen, context };
    return { kind: "directory", directory: await requireDirectory(context.directory) };
  };
  if (name !== undefined) return ofContext(name);
  const inEnv = namedBy(env.HEDDLE_CONTEXT);
  if (namedBy(dir) === undefined && namedBy(env.HEDDLE_DIR) === undefined) {
    if (inEnv !== undefined) return ofContext(inEnv);
    const current = await store.current();
    const here = workingDirectory() === undefined ? undefined : await openDirectory(DEFAULT_DIRECTORY);
    if (current !== undefined && here === undefined) return ofContext(current);
  }
  return { kind: "directory", directory: await requireDirectory(dir) };
}

async function operatorTarget(options: ConnectionOptions): Promise<OperatorTarget> {
  const { dir, natsUrl, creds, context } = options;
  const given = creds === undefined ? undefined : await givenCredentials(creds);
  // Credentials may tell where they are good; a directory or context that is named goes before that.
  const isNamed = dir !== undefined || context !== undefined;
  const own = given === undefined || isNamed ? undefined : await chosenServer(options, serverOfCredentials(given));
  if (given !== undefined && own !== undefined) return { server: own, publicServer: own, credentials: given };
  if (natsUrl !== undefined && given === undefined && !isNamed) {
    throw new UsageError("--nats-url needs --creds: the credentials to use there");
  }
  const source = await meshSource(options);
  const known = await serverOfSource(source);
  const server = await chosenServer(options, known);
  if (server === undefined) throw new Failure(neverRun(source));
  const publicServer = natsUrl === undefined ? await publicServerOf(source, server) : server;
  return { server, publicServer, credentials: given ?? (await credentialsOf(source)) };
}

async function serverOfSource(source: MeshSource): Promise<ServerAddress | undefined> {
  return source.kind === "directory" ? source.directory.server() : source.context.server;
}

async function publicServerOf(source: MeshSource, server: ServerAddress): Promise<ServerAddress> {
  if (source.kind !== "directory") return server;
  const { publicUrl } = source.directory.context;
  return publicUrl === undefined ? server : { ...server, url: publicUrl };
}

function credentialsOf(source: MeshSource): Promise<Credentials> {
  return source.kind === "directory" ? source.directory.operatorCredentials() : source.context.credentials();
}

function neverRun(source: MeshSource): string {
  if (source.kind === "context") return `the context ${source.name} names no server`;
  return `the mesh in ${source.directory.path} has never run: start it with \`${upCommand(source.directory)}\``;
}

async function connect(server: ServerAddress, credentials: Credentials): Promise<NatsBus> {
  // What the server refuses, the request that asked for it reports.
  const onError = (): void => {};
  try {
    return await connectBus({ ...server, credentials, name: `heddle cli ${credentials.name}`, onError });
  } catch (error) {
    if (error instanceof PermissionDenied) throw new Failure(error.message, { cause: error });
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`NATS at ${why}: is the mesh running? (\`heddle up\`)`, { cause: error });
  }
}

/** How a person starts the mesh of a directory. */
function upCommand(directory: Directory): string {
  return isDefaultDirectory(directory) ? "heddle up" : `heddle up --dir ${directory.path}`;
}

/** An empty name is none. */
function namedBy(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
