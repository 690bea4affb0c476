/** `heddle token create`: what a service's sidecars need to join the mesh from another machine. */

import type { Command } from "commander";
import { formatCredentials, mintServiceUser, writeCredentials } from "../nats/credentials.ts";
import { parseDuration } from "../policy/duration.ts";
import { parseServiceRef } from "../policy/names.ts";
import { requireDirectory } from "./context.ts";
import { UsageError } from "./failure.ts";
import { note, printText } from "./output.ts";

interface Options {
  readonly dir?: string;
  readonly out?: string;
  readonly ttl?: string;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Make the credentials that a service's sidecars need.");
  command
    .command("create")
    .description("Mint credentials that are good for one service's own subjects and no others.")
    .argument("<namespace/service>", "whose, such as shop/orders")
    .option("--dir <directory>", "state directory of the mesh (default: $HEDDLE_DIR or ./.heddle)")
    .option("--out <file>", "write them there, readable by its owner only (default: the standard output)")
    .option("--ttl <duration>", "how long they live, such as 24h (default: for ever)")
    .addHelpText(
      "after",
      "\nExample:\n  heddle token create shop/orders --out orders.creds\n" +
        "  heddle sidecar --service shop/orders --creds orders.creds --nats-url nats://mesh:4222 --app 127.0.0.1:8080",
    )
    .action((service: string, options: Options) => create(service, options));
  await command.parseAsync(args, { from: "user" });
}

async function create(text: string, { dir, out, ttl }: Options): Promise<void> {
  const service = parseServiceRef(text);
  if (service === undefined) {
    throw new UsageError(`'${text}' is no service; write NAMESPACE/NAME, such as shop/orders`);
  }
  const ttlMs = ttl === undefined ? undefined : parseDuration(ttl);
  if (ttl !== undefined && !(ttlMs !== undefined && ttlMs > 0)) {
    throw new UsageError(`--ttl: '${ttl}' is no duration; write one such as 24h`);
  }
  const directory = await requireDirectory(dir);
  const lifetime = ttlMs === undefined ? undefined : { ttlMs, now: Date.now() };
  const credentials = await mintServiceUser(await directory.trust(), service.namespace, service.name, lifetime);
  if (out === undefined) return printText(formatCredentials(credentials));
  await writeCredentials(out, credentials);
  note(`wrote ${out}: whoever has this file is ${text}`);
}
