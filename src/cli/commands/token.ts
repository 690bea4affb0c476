/** `heddle token`: what a service's sidecars need to join the mesh from another machine. */

import type { Command } from "commander";
import type { CommandBody } from "../../events/commands.ts";
import { tokenId } from "../../events/describe.ts";
import type { JoinToken, MeshState } from "../../events/state.ts";
import { createUserKey } from "../../nats/keys.ts";
import { parseDuration } from "../../policy/duration.ts";
import { parseServiceRef, serviceRef } from "../../policy/names.ts";
import { Failure, UsageError } from "../failure.ts";
import { confirm } from "../input/confirm.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { namespaceOption, parseCount, reasonOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { fetchCredentials, handOver, reportRevoked, requireOut } from "../mesh/grant.ts";
import { currentState } from "../mesh/known-mesh.ts";
import { atOption, meshAt } from "../mesh/moment-argument.ts";
import { sendDirectly } from "../mesh/proposal.ts";
import { note, type OutputFormat, outputOption, print, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

/** A token that is to live for more than a century is a slip; one without an end is asked for by no TTL at all. */
const TTL_MAX_MS = 100 * 365 * 24 * 3_600_000;
/** Characters of a token's name that have to be given at least. */
const ID_LENGTH_MIN = 4;

interface CreateOptions extends ConnectionOptions {
  readonly out?: string;
  readonly ttl?: string;
  readonly uses?: number;
  readonly reason: string;
}

interface ListOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly at?: Moment;
  readonly output: OutputFormat;
}

interface RevokeOptions extends ConnectionOptions {
  readonly yes?: true;
  readonly reason: string;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Make, list and revoke the credentials that a service's sidecars join with.");
  createCommand(command.command("create"));
  connectionOptions(atOption(outputOption(namespaceOption(command.command("list")))))
    .description("Show the tokens that are good for something, and who has joined where that is counted.")
    .action((options: ListOptions) => list(options));
  connectionOptions(reasonOption(command.command("revoke")))
    .description("Make a token void: nobody joins with it, no certificate is renewed, and its connections to NATS end.")
    .argument("<token>", "its name, as `heddle token list` shows it, or the beginning of that")
    .option("-y, --yes", "do not ask")
    .action((token: string, options: RevokeOptions) => revoke(token, options));
  await command.parseAsync(args, { from: "user" });
}

function createCommand(command: Command): void {
  connectionOptions(reasonOption(command))
    .description("Make credentials that are good for one service's own subjects and no others.")
    .argument("<namespace/service>", "whose, such as shop/orders")
    .option("--out <file>", "write them there, readable by its owner only (default: the standard output)")
    .option("--ttl <duration>", "how long they live, such as 24h (default: until they are revoked)")
    .option("--uses <number>", "how many instances may join with them (default: any number)", parseCount)
    .addHelpText(
      "after",
      "\nAn instance is counted by its name once, however often it comes back." +
        "\n\nExample:\n  heddle token create shop/orders --uses 3 --out orders.creds\n" +
        "  heddle sidecar --service shop/orders --creds orders.creds --nats-url nats://mesh:4222 --app 127.0.0.1:8080",
    )
    .action((service: string, options: CreateOptions) => create(service, options));
}

async function create(text: string, { ttl, uses, reason, out, ...connection }: CreateOptions): Promise<void> {
  const service = parseServiceRef(text);
  if (service === undefined) {
    throw new UsageError(`'${text}' is no service; write NAMESPACE/NAME, such as shop/orders`);
  }
  const ttlMs = ttl === undefined ? undefined : parseDuration(ttl);
  if (ttl !== undefined && !(ttlMs !== undefined && ttlMs > 0 && ttlMs <= TTL_MAX_MS)) {
    throw new UsageError(`--ttl: '${ttl}' is no duration of at most 100 years; write one such as 24h`);
  }
  await requireOut(out);
  const key = createUserKey();
  const body: CommandBody = {
    kind: "token-create",
    service,
    publicKey: key.publicKey,
    ...(ttlMs === undefined ? {} : { expiresAt: new Date(Date.now() + ttlMs).toISOString() }),
    ...(uses === undefined ? {} : { usesMax: uses }),
  };
  await withOperator(connection, async (context) => {
    const command = { namespace: service.namespace, body };
    const { decided } = await sendDirectly(context, command, { reason, dryRun: false });
    for (const warning of decided.warnings) note(safeText(warning));
    const id = tokenId(key.publicKey);
    note(`created token ${id} for ${text} (revision ${decided.revision})`);
    await handOver(await fetchCredentials(context, { name: text, key, undo: `heddle token revoke ${id}` }), out);
  });
}

async function revoke(text: string, { reason, yes, ...connection }: RevokeOptions): Promise<void> {
  await withOperator(connection, async (context) => {
    const { publicKey, namespace, service } = tokenNamed(await currentState(context), text);
    const id = tokenId(publicKey);
    const ref = serviceRef(namespace, service);
    if (yes !== true) await confirm(`Revoke token ${id} of ${ref} for good?`);
    const body = { kind: "token-revoke", publicKey } as const;
    const { decided } = await sendDirectly(context, { namespace, body }, { reason, dryRun: false });
    note(`revoked token ${id} of ${ref} (revision ${decided.revision})`);
    await reportRevoked(context, publicKey, `token ${id}`);
    note(`certificates that were signed before stay good until they end, or until \`heddle identity revoke ${ref}\``);
  });
}

/** The token whose name begins so. Throws `Failure` where there is none, or more than one. */
function tokenNamed({ tokens }: MeshState, text: string): JoinToken {
  const wanted = text.toUpperCase();
  const exact = tokens.get(wanted);
  if (exact !== undefined) return exact;
  if (text.length < ID_LENGTH_MIN) throw new UsageError(`'${text}' is too short to name a token`);
  const found = [...tokens.values()].filter(({ publicKey }) => publicKey.slice(1).startsWith(wanted));
  const [token] = found;
  if (token !== undefined && found.length === 1) return token;
  const many = found.map(({ publicKey }) => tokenId(publicKey)).join(", ");
  throw new Failure(
    token === undefined
      ? `there is no token ${text}: see \`heddle token list\``
      : `${text} may be ${many}: write more of it`,
  );
}

async function list({ namespace, at, output, ...connection }: ListOptions): Promise<void> {
  await withOperator(connection, async (context) => {
    const { state, timeMs } = await meshAt(context, at);
    const rows = [...state.tokens.values()]
      .filter((token) => namespace === undefined || token.namespace === namespace)
      .filter(({ expiresAt }) => expiresAt === undefined || Date.parse(expiresAt) > timeMs)
      .sort((a, b) => a.origin.revision - b.origin.revision);
    print(output, rows, () => tokenTable(rows, Date.now()));
  });
}

function tokenTable(tokens: readonly JoinToken[], nowMs: number): string {
  if (tokens.length === 0) return "there are no tokens";
  const rows = tokens.map(({ publicKey, namespace, service, expiresAt, usesMax, instances, origin }) => [
    tokenId(publicKey),
    safeText(serviceRef(namespace, service)),
    usesMax === undefined ? "any" : `${instances.length} of ${usesMax}`,
    expiresAt === undefined ? "never" : formatRelative(Date.parse(expiresAt), nowMs),
    formatRelative(Date.parse(origin.time), nowMs),
    safeText(origin.actor),
    safeText(instances.join(", ")),
  ]);
  return table(["token", "service", "uses", "ends", "created", "by", "instances"], rows);
}
