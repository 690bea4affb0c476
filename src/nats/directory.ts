/**
 * The state of one mesh on one machine: where NATS is, whom it trusts, and the credentials made so far.
 *
 *     context.json   where to connect and as whom; all that the command line needs
 *     trust/         keys of the NATS operator and accounts; whoever reads them can mint any user
 *     creds/         one `.creds` file per user
 *     nats/          configuration, log and JetStream store of the embedded server
 *     ca/            the certificate authority's own
 */

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { TRUST_DOMAIN } from "../policy/names.ts";
import {
  type Credentials,
  mintControlUser,
  mintOperatorUser,
  readCredentials,
  writeCredentials,
} from "./credentials.ts";
import { makePrivateDirectory, readIfPresent, writePrivateFile } from "./private-file.ts";
import type { ServerAddress, ServerTls } from "./server-address.ts";
import { createTrust, type NatsTrust, natsTrust } from "./trust.ts";

const serverUrl = z.string().regex(/^(?:nats|tls):\/\/\S+$/, "must be a URL such as nats://127.0.0.1:4222");

const directoryContext = z.strictObject({
  version: z.literal(1),
  trustDomain: z.string().regex(TRUST_DOMAIN),
  /** Absent until a server has run: it may choose its port. */
  url: serverUrl.optional(),
  /** Where others than this machine find it; absent: nowhere else. */
  publicUrl: serverUrl.optional(),
  /** The server is somebody else's: `heddle up` starts none. */
  external: z.literal(true).optional(),
  /** Host that the embedded server listens on; loopback by default. */
  listen: z.string().optional(),
  /** Somebody's own certificate for it, as paths of PEM files; absent: one that is made where it needs one. */
  serverCertificate: z.strictObject({ certFile: z.string(), keyFile: z.string() }).optional(),
  /** What to connect with, as paths of PEM files, relative to the directory; absent: no TLS. */
  tls: z
    .strictObject({ ca: z.string().optional(), cert: z.string().optional(), key: z.string().optional() })
    .optional(),
  /** Credentials of the person at the command line; a path relative to the directory. */
  operatorCreds: z.string(),
  /** Credentials of control replicas, likewise; absent on a machine that only has an operator. */
  controlCreds: z.string().optional(),
  /** An import of so many revisions has begun, and the ledger is not whole before it ends. */
  importing: z.int().min(1).optional(),
});

export type DirectoryContext = z.infer<typeof directoryContext>;

export interface DirectoryOptions {
  readonly trustDomain: string;
  /** Name of the first operator, who becomes admin. */
  readonly operator: string;
}

/** What a directory knows of its server, and of what is in it. */
type ServerField =
  | "url"
  | "publicUrl"
  | "external"
  | "listen"
  | "serverCertificate"
  | "tls"
  | "controlCreds"
  | "importing";

/** Reads a file of keys as `trust/nats.json` is. Rejects, naming it, where it is absent or damaged. */
export async function readTrust(path: string): Promise<NatsTrust> {
  return parseFile(path, await readFile(path, "utf8"), natsTrust);
}

/** An existing state directory. */
export class Directory {
  readonly natsPath: string;
  readonly caPath: string;
  readonly credsPath: string;
  #context: DirectoryContext;

  constructor(
    readonly path: string,
    context: DirectoryContext,
  ) {
    this.#context = context;
    this.natsPath = join(path, "nats");
    this.caPath = join(path, "ca");
    this.credsPath = join(path, "creds");
  }

  get context(): DirectoryContext {
    return this.#context;
  }

  /** The mesh's NATS keys. Rejects, naming the file, where they are absent or damaged. */
  trust(): Promise<NatsTrust> {
    return readTrust(trustFile(this.path));
  }

  /** The same where the keys are on this machine. */
  async trustIfPresent(): Promise<NatsTrust | undefined> {
    return (await readIfPresent(trustFile(this.path))) === undefined ? undefined : this.trust();
  }

  operatorCredentials(): Promise<Credentials> {
    return readCredentials(resolve(this.path, this.#context.operatorCreds));
  }

  controlCredentials(): Promise<Credentials> {
    const { controlCreds } = this.#context;
    if (controlCreds === undefined) throw new Error(`${contextFile(this.path)}: names no credentials for control`);
    return readCredentials(resolve(this.path, controlCreds));
  }

  /** Keeps credentials as `creds/<name>.creds`; returns the path. */
  async saveCredentials(name: string, credentials: Credentials): Promise<string> {
    const path = join(this.credsPath, `${name}.creds`);
    await writeCredentials(path, credentials);
    return path;
  }

  /** Where NATS is and how to speak to it; undefined before a server has run. Rejects where a file is missing. */
  async server(): Promise<ServerAddress | undefined> {
    const { url } = this.#context;
    const tls = await this.tls();
    return url === undefined ? undefined : { url, ...(tls === undefined ? {} : { tls }) };
  }

  /** How to speak to the server; undefined: without TLS. Rejects where a file is missing. */
  async tls(): Promise<ServerTls | undefined> {
    const { tls } = this.#context;
    if (tls === undefined) return undefined;
    const pems = Object.entries(tls).map(async ([name, path]) => {
      return path === undefined ? [] : [[name, await readFile(resolve(this.path, path), "utf8")] as const];
    });
    return Object.fromEntries((await Promise.all(pems)).flat());
  }

  /** Remembers where the server is, so that it comes back there and clients find it. Undefined takes a field away. */
  async remember(news: { readonly [F in ServerField]?: DirectoryContext[F] | undefined }): Promise<void> {
    const context = directoryContext.parse({ ...this.#context, ...news });
    if (isDeepStrictEqual(context, this.#context)) return;
    await writeContext(this.path, context);
    this.#context = context;
  }
}

/** Opens a directory; undefined where there is none. Rejects, naming the file, when its context is damaged. */
export async function openDirectory(path: string): Promise<Directory | undefined> {
  const root = resolve(path);
  const text = await readIfPresent(contextFile(root));
  if (text === undefined) return undefined;
  return new Directory(root, parseFile(contextFile(root), text, directoryContext));
}

/**
 * Makes a directory with new NATS keys, a control user and the first operator. The context is written last: a
 * directory that has one is complete. Rejects where there is one already.
 */
export async function createDirectory(path: string, options: DirectoryOptions): Promise<Directory> {
  const root = resolve(path);
  if ((await openDirectory(root)) !== undefined) throw new Error(`${root} already holds a mesh`);
  for (const part of ["", "trust", "creds", "nats", "ca"]) await makePrivateDirectory(join(root, part));
  const trust = await createTrust();
  await writePrivateFile(trustFile(root), `${JSON.stringify(trust, null, 2)}\n`);
  const context: DirectoryContext = {
    version: 1,
    trustDomain: options.trustDomain,
    operatorCreds: join("creds", "operator.creds"),
    controlCreds: join("creds", "control.creds"),
  };
  const operator = await mintOperatorUser(trust, { name: options.operator, role: "admin", namespaces: [] });
  await writeCredentials(join(root, "creds", "operator.creds"), operator);
  await writeCredentials(join(root, "creds", "control.creds"), await mintControlUser(trust));
  await writeContext(root, context);
  return new Directory(root, context);
}

function contextFile(root: string): string {
  return join(root, "context.json");
}

function trustFile(root: string): string {
  return join(root, "trust", "nats.json");
}

function writeContext(root: string, context: DirectoryContext): Promise<void> {
  return writePrivateFile(contextFile(root), `${JSON.stringify(context, null, 2)}\n`);
}

function parseFile<T>(path: string, text: string, schema: z.ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path}: not JSON: ${(cause as Error).message}`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
