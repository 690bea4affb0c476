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
import { createTrust, type NatsTrust, natsTrust } from "./trust.ts";

const serverUrl = z.string().regex(/^(?:nats|tls):\/\/\S+$/, "must be a URL such as nats://127.0.0.1:4222");

const directoryContext = z.strictObject({
  version: z.literal(1),
  trustDomain: z.string().regex(TRUST_DOMAIN),
  /** Absent until a server has run: it may choose its port. */
  url: serverUrl.optional(),
  /** Credentials of the person at the command line; a path relative to the directory. */
  operatorCreds: z.string(),
  /** Credentials of control replicas, likewise; absent on a machine that only has an operator. */
  controlCreds: z.string().optional(),
});

export type DirectoryContext = z.infer<typeof directoryContext>;

export interface DirectoryOptions {
  readonly trustDomain: string;
  /** Name of the first operator, who becomes admin. */
  readonly operator: string;
}

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
    return readCredentials(join(this.path, this.#context.operatorCreds));
  }

  controlCredentials(): Promise<Credentials> {
    const { controlCreds } = this.#context;
    if (controlCreds === undefined) throw new Error(`${contextFile(this.path)}: names no credentials for control`);
    return readCredentials(join(this.path, controlCreds));
  }

  /** Keeps credentials as `creds/<name>.creds`; returns the path. */
  async saveCredentials(name: string, credentials: Credentials): Promise<string> {
    const path = join(this.credsPath, `${name}.creds`);
    await writeCredentials(path, credentials);
    return path;
  }

  /** Remembers where the server listens, so that it comes back there and clients find it. */
  async rememberUrl(url: string): Promise<void> {
    if (this.#context.url === url) return;
    const context = { ...this.#context, url };
    await writeContext(this.path, context);
    this.#context = context;
  }
}

/** Opens a directory; undefined where there is none. Rejects, naming the file, when its context is damaged. */
export async function openDirectory(path: string): Promise<Directory | undefined> {
  const root = resolve(path);
  let text: string;
  try {
    text = await readFile(contextFile(root), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
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
