/** `heddle context`: the meshes that one goes to by name, and which of them is in use. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { openDirectory } from "../../nats/directory.ts";
import { messageOf } from "../../projections/backoff.ts";
import { Failure, UsageError } from "../failure.ts";
import { directoryPath, meshSource, requireDirectory } from "../mesh/context.ts";
import { ContextStore, type StoredContext } from "../mesh/context-store.ts";
import { givenCredentials } from "../mesh/given-credentials.ts";
import { chosenServer, type ServerOptions, serverOfCredentials, serverOptions } from "../mesh/server-options.ts";
import { note, type OutputFormat, outputOption, print, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface OutputOptions {
  readonly output: OutputFormat;
}

/** What there is to know of a context that is no secret. */
interface ContextView {
  readonly name: string;
  readonly inUse: boolean;
  /** State directory; undefined where the context has a server and credentials of its own. */
  readonly directory?: string;
  readonly url?: readonly string[];
  readonly tls?: boolean;
  readonly operator?: string;
  readonly key?: string;
}

const HELP = `
Which mesh a command means, the first of these that is there: --context, --dir, $HEDDLE_DIR, $HEDDLE_CONTEXT, .heddle in
this folder, the context in use.

Example:
  heddle context add prod --creds alice.creds
  heddle context use prod
  heddle status
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Go to meshes by name.").addHelpText("after", HELP);
  serverOptions(command.command("add"))
    .description("Remember a mesh: credentials and where they are good, or a state directory.")
    .argument("<name>", "what to call it")
    .option("--force", "instead of one that is called so already")
    .action((name: string, options: ServerOptions & { force?: true }) => add(name, options));
  outputOption(command.command("list"))
    .description("Show the meshes that are known, and which is in use.")
    .action((options: OutputOptions) => list(options));
  outputOption(command.command("show"))
    .description("Show one of them, without its secrets.")
    .argument("[name]", "which (default: the one that a command would mean now)")
    .action((name: string | undefined, options: OutputOptions) => show(name, options));
  command
    .command("use")
    .description("Mean this mesh from now on.")
    .argument("<name>", "which")
    .action((name: string) => use(name));
  command
    .command("remove")
    .description("Forget a mesh, and the credentials for it.")
    .argument("<name>", "which")
    .action(async (name: string) => {
      await ContextStore.of(process.env).remove(name);
      note(`forgot ${name}; its credentials are good until they are revoked`);
    });
  await command.parseAsync(args, { from: "user" });
}

async function add(name: string, options: ServerOptions & { force?: true }): Promise<void> {
  const store = ContextStore.of(process.env);
  const names = await store.names();
  if (names.includes(name) && options.force !== true) {
    throw new Failure(`there is a context ${name} already: choose another name, or say --force`);
  }
  if (options.creds === undefined) {
    if (options.natsUrl !== undefined) throw new UsageError("--nats-url needs --creds: the credentials to use there");
    const { path } = await requireDirectory(options.dir);
    await store.addDirectory(name, path);
  } else {
    const credentials = await givenCredentials(options.creds);
    const known =
      options.dir === undefined
        ? serverOfCredentials(credentials)
        : await (await requireDirectory(options.dir)).server();
    const server = await chosenServer(options, known);
    if (server === undefined) {
      throw new UsageError(`${options.creds} does not say where the mesh is: name its NATS with --nats-url`);
    }
    await store.addServer(name, server, credentials);
  }
  note(`added ${name}`);
  // The first is the one that is meant.
  if (names.length === 0) await use(name);
}

async function use(name: string): Promise<void> {
  await ContextStore.of(process.env).use(name);
  note(`commands mean ${name} from now on`);
  const { HEDDLE_DIR, HEDDLE_CONTEXT } = process.env;
  if (HEDDLE_DIR) note(`but here $HEDDLE_DIR is set, which goes before: ${HEDDLE_DIR}`);
  else if (HEDDLE_CONTEXT) note(`but here $HEDDLE_CONTEXT is set, which goes before: ${HEDDLE_CONTEXT}`);
  else if (await openDirectory(directoryPath(undefined, {}))) note("but here is a .heddle, which goes before");
}

async function list({ output }: OutputOptions): Promise<void> {
  const store = ContextStore.of(process.env);
  const found = await Promise.allSettled((await store.names()).map((name) => viewOf(store, name)));
  const views = found.flatMap((view) => (view.status === "fulfilled" ? [view.value] : []));
  const damaged = found.flatMap((view) => (view.status === "rejected" ? [messageOf(view.reason)] : []));
  print(output, views, () => {
    if (found.length === 0) return "no contexts yet: add one with `heddle context add`";
    const rows = views.map((view) => [
      view.inUse ? "*" : "",
      safeText(view.name),
      safeText(view.directory ?? view.url?.join(",") ?? ""),
      safeText(view.operator ?? ""),
    ]);
    return table(["", "name", "mesh", "as"], rows);
  });
  if (damaged.length > 0) throw new Failure(damaged.join("\n"));
}

async function show(name: string | undefined, { output }: OutputOptions): Promise<void> {
  const store = ContextStore.of(process.env);
  const view = name === undefined ? await meantNow(store) : await viewOf(store, name);
  print(output, view, () =>
    Object.entries(view)
      .map(([field, value]) => `${field.padEnd(10)} ${safeText(String(value))}`)
      .join("\n"),
  );
}

/** What a command without options would mean. */
async function meantNow(store: ContextStore): Promise<Partial<ContextView>> {
  const source = await meshSource({});
  return source.kind === "context" ? viewOf(store, source.name) : viewOfDirectory(source.directory.path);
}

async function viewOf(store: ContextStore, name: string): Promise<ContextView> {
  const context: StoredContext = await store.get(name);
  const inUse = (await store.current()) === name;
  if (context.kind === "directory") return { name, inUse, ...(await viewOfDirectory(context.directory)) };
  const { name: operator, publicKey } = await context.credentials();
  const { url, tls } = context.server;
  const urls = typeof url === "string" ? [url] : url;
  const secured = tls !== undefined || urls.every((each) => each.startsWith("tls://"));
  return { name, inUse, url: urls, tls: secured, operator, key: publicKey };
}

async function viewOfDirectory(path: string): Promise<Pick<ContextView, "directory" | "url" | "operator" | "key">> {
  const directory = await openDirectory(path);
  if (directory === undefined) return { directory: resolve(path) };
  const { name, publicKey } = await directory.operatorCredentials();
  const { url } = directory.context;
  return { directory: directory.path, ...(url === undefined ? {} : { url: [url] }), operator: name, key: publicKey };
}
