/** Where NATS is: what the command line says of it, over what a directory, a context or credentials do. */

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Credentials } from "../../nats/credentials.ts";
import type { ServerAddress, ServerTls } from "../../nats/server-address.ts";
import { UsageError } from "../failure.ts";

/** What `serverOptions` adds to a command. */
export interface ServerOptions {
  readonly dir?: string;
  readonly natsUrl?: string;
  readonly creds?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** Adds the options that say where NATS is, and as whom to connect. */
export function serverOptions(command: Command): Command {
  return command
    .option("--dir <directory>", "state directory of the mesh (default: $HEDDLE_DIR or ./.heddle)")
    .option("--nats-url <url>", "the mesh's NATS, instead of the one that is known")
    .option("--creds <file>", "credentials to use, instead of the directory's")
    .option("--tls-ca <file>", "PEM of the authority that must have signed NATS's certificate")
    .option("--tls-cert <file>", "PEM of a certificate to show to NATS, with --tls-key")
    .option("--tls-key <file>", "PEM of its key");
}

/** The server that credentials name, if they do. */
export function serverOfCredentials({ mesh }: Credentials): ServerAddress | undefined {
  if (mesh === undefined) return undefined;
  const tls = mesh.ca === undefined ? undefined : { ca: mesh.ca };
  return { url: mesh.url, ...(tls === undefined ? {} : { tls }) };
}

/** What is said by hand goes before what is known. Undefined where neither names a server. */
export async function chosenServer(
  options: ServerOptions,
  known: ServerAddress | undefined,
): Promise<ServerAddress | undefined> {
  const url = options.natsUrl ?? known?.url;
  if (url === undefined) return undefined;
  const given = await readTls(options);
  const tls = given === undefined && known?.tls === undefined ? undefined : { ...known?.tls, ...given };
  return { url, ...(tls === undefined ? {} : { tls }) };
}

async function readTls({ tlsCa, tlsCert, tlsKey }: ServerOptions): Promise<ServerTls | undefined> {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError("--tls-cert and --tls-key belong together: name both files");
  }
  if (tlsCa === undefined && tlsCert === undefined) return undefined;
  const [ca, cert, key] = await Promise.all([
    readPem(tlsCa, "--tls-ca", "CERTIFICATE"),
    readPem(tlsCert, "--tls-cert", "CERTIFICATE"),
    readPem(tlsKey, "--tls-key", "PRIVATE KEY"),
  ]);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/** Reads a file that must hold a PEM block of a kind. Throws `UsageError` in words. */
export async function readPem(path: string | undefined, option: string, kind: string): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === "ENOENT" ? "there is no such file" : cause.message;
    throw new UsageError(`${option}: ${path}: ${why}`);
  });
  if (new RegExp(`-----BEGIN [A-Z ]*${kind}-----`).test(text)) return text;
  throw new UsageError(`${option}: ${path}: holds no ${kind} in PEM`);
}
