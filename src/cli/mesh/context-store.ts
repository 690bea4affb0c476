/**
 * The meshes that a person goes to by name. One file each, readable by its owner only, which holds all that it takes:
 * where NATS is, whom to trust there, and the credentials; or the path of a state directory.
 *
 *     $XDG_CONFIG_HOME/heddle/contexts/<name>.json      (~/.config where the variable is not set)
 *     $XDG_CONFIG_HOME/heddle/current-context           the name of the one in use
 */

import { readdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { type Credentials, formatCredentials, parseCredentials } from "../../nats/credentials.ts";
import { isAbsent, makePrivateDirectory, readIfPresent, writePrivateFile } from "../../nats/private-file.ts";
import type { ServerAddress } from "../../nats/server-address.ts";
import { parseJson } from "../../policy/json.ts";
import { nearest } from "../../policy/nearest.ts";
import { Failure, UsageError } from "../failure.ts";

const SUFFIX = ".json";
/** Names of contexts are names of files. */
const CONTEXT_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/;

const contextFile = z.discriminatedUnion("kind", [
  z.strictObject({ version: z.literal(1), kind: z.literal("directory"), directory: z.string().min(1) }),
  z.strictObject({
    version: z.literal(1),
    kind: z.literal("server"),
    url: z.array(z.string().min(1)).min(1),
    /** PEM. */
    tls: z
      .strictObject({ ca: z.string().optional(), cert: z.string().optional(), key: z.string().optional() })
      .optional(),
    /** The text of a `.creds` file. */
    creds: z.string(),
  }),
]);

export interface ServerContext {
  readonly kind: "server";
  readonly server: ServerAddress;
  readonly credentials: () => Promise<Credentials>;
}

export type StoredContext = { readonly kind: "directory"; readonly directory: string } | ServerContext;

export class ContextStore {
  private constructor(private readonly root: string) {}

  static of(env: NodeJS.ProcessEnv): ContextStore {
    const base = env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config");
    return new ContextStore(join(base, "heddle"));
  }

  /** All names, in order. */
  async names(): Promise<string[]> {
    const files = await readdir(join(this.root, "contexts")).catch((error: unknown) => {
      if (isAbsent(error)) return [];
      throw error;
    });
    return files
      .filter((file) => file.endsWith(SUFFIX) && !file.startsWith("."))
      .map((file) => file.slice(0, -SUFFIX.length))
      .sort();
  }

  /** Rejects with `Failure` where there is none of that name, or its file is damaged. */
  async get(name: string): Promise<StoredContext> {
    const path = this.#file(name);
    const text = await readIfPresent(path);
    if (text === undefined) throw new Failure(await this.#unknown(name));
    const parsed = contextFile.safeParse(parseJson(text));
    if (!parsed.success) {
      throw new Failure(`${path} is damaged: forget it with \`heddle context remove ${name}\`, and add it again`);
    }
    if (parsed.data.kind === "directory") return { kind: "directory", directory: parsed.data.directory };
    const { url, tls, creds } = parsed.data;
    const pems = Object.fromEntries(Object.entries(tls ?? {}).filter(([, pem]) => pem !== undefined));
    const server = { url, ...(tls === undefined ? {} : { tls: pems }) };
    return { kind: "server", server, credentials: () => parseCredentials(creds, path) };
  }

  async addDirectory(name: string, directory: string): Promise<void> {
    await this.#write(name, { version: 1, kind: "directory", directory });
  }

  async addServer(name: string, { url, tls }: ServerAddress, credentials: Credentials): Promise<void> {
    const creds = formatCredentials(credentials);
    const urls = typeof url === "string" ? [url] : [...url];
    await this.#write(name, { version: 1, kind: "server", url: urls, ...(tls === undefined ? {} : { tls }), creds });
  }

  /** Forgets a context, and that it was in use. Rejects with `Failure` where there is none of that name. */
  async remove(name: string): Promise<void> {
    const path = this.#file(name);
    if ((await readIfPresent(path)) === undefined) throw new Failure(await this.#unknown(name));
    await rm(path, { force: true });
    if ((await this.current()) === name) await rm(this.#currentFile(), { force: true });
  }

  /** The name of the one in use. */
  async current(): Promise<string | undefined> {
    const name = (await readIfPresent(this.#currentFile()))?.trim();
    return name === "" ? undefined : name;
  }

  /** Rejects with `Failure` where there is none of that name. */
  async use(name: string): Promise<void> {
    await this.get(name);
    await writePrivateFile(this.#currentFile(), `${name}\n`);
  }

  async #write(name: string, content: z.infer<typeof contextFile>): Promise<void> {
    const path = this.#file(name);
    await makePrivateDirectory(join(this.root, "contexts"));
    await writePrivateFile(path, `${JSON.stringify(content, null, 2)}\n`);
  }

  #file(name: string): string {
    if (CONTEXT_NAME.test(name)) return join(this.root, "contexts", `${name}${SUFFIX}`);
    throw new UsageError(`${JSON.stringify(name)} cannot name a context: write letters, digits, dots, - and _`);
  }

  #currentFile(): string {
    return join(this.root, "current-context");
  }

  async #unknown(name: string): Promise<string> {
    const meant = nearest(name, await this.names());
    return `there is no context ${name}${meant === undefined ? "; see `heddle context list`" : `; did you mean ${meant}?`}`;
  }
}
