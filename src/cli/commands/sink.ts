/** `heddle sink`: every change of the ledger, as it comes, for others to keep or to act upon. */

import { appendFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, Option } from "commander";
import type { RecordedChange } from "../../events/change.ts";
import { LockHeld, type ProcessLock, takeLock } from "../../nats/process-lock.ts";
import { deliver, type WebhookTarget } from "../../telemetry/webhook.ts";
import { Failure, UsageError } from "../failure.ts";
import { parseRevision } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, directoryPath, withOperator } from "../mesh/context.ts";
import { chatMessage } from "../output/chat-message.ts";
import { logValue } from "../output/log-output.ts";
import { note } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface WebhookOptions extends ConnectionOptions {
  readonly secretFile?: string;
  readonly state?: string;
  readonly format: SinkFormat;
  /** Revision after which to begin where there is no position yet. */
  readonly after?: number;
}

const SINK_FORMATS = ["cloudevents", "slack"] as const;
type SinkFormat = (typeof SINK_FORMATS)[number];

const CONTENT_TYPES: Readonly<Record<SinkFormat, string>> = {
  cloudevents: "application/cloudevents+json; charset=utf-8",
  slack: "application/json; charset=utf-8",
};

const POSITION_FILE = "position";
const DEAD_LETTER_FILE = "dead-letters.jsonl";
const SECRET_BYTES_MIN = 16;

const HELP = `
Each change is one POST of a CloudEvent, in order, with webhook-id, webhook-timestamp and webhook-signature (HMAC-SHA256,
as Standard Webhooks have it). One that is not taken is sent again, for some ten minutes; what is refused for good goes
to ${DEAD_LETTER_FILE} in the state directory. The position is kept there as well: each change is sent at least once.
It begins with what comes from now on; with --after 0, the first time, with the whole history.
With --format slack, it is a message in words, for incoming webhooks of Slack, Mattermost and their like. Where the URL
itself is the secret, as there, @FILE keeps it from whoever lists processes. Credentials of a viewer will do.

Examples:
  heddle sink webhook https://siem.example.org/heddle --secret-file webhook.key --state /var/lib/heddle-sink --after 0
  heddle sink webhook @slack.url --format slack --state /var/lib/heddle-slack
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Send every change somewhere else.");
  connectionOptions(command.command("webhook"))
    .description("Send every change to an HTTP endpoint, until it is ended.")
    .argument("<url>", "where to, https://… or http://…; @FILE: it is in that file")
    .addOption(new Option("--format <format>", "what is sent").choices(SINK_FORMATS).default("cloudevents"))
    .option("--secret-file <file>", "what requests are signed with: at least 16 bytes, or whsec_ and base64")
    .option("--state <directory>", "where the position and dead letters are kept (default: below the mesh's directory)")
    .option(
      "--after <revision>",
      "begin after this revision (default: the last one), where there is no position",
      parseRevision,
    )
    .addHelpText("after", HELP)
    .action(sendAll);
  await command.parseAsync(args, { from: "user" });
}

async function sendAll(place: string, options: WebhookOptions): Promise<void> {
  const url = place.startsWith("@") ? (await readText(place.slice(1))).trim() : place;
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    throw new UsageError(
      place === url ? `'${url}' is no http or https URL` : `${place.slice(1)} holds no http or https URL`,
    );
  }
  const directory = options.state ?? join(directoryPath(options.dir), "sink");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const lock = await lockState(directory);
  try {
    await sendFrom(directory, { url, origin: parsed.origin }, options);
  } finally {
    await lock.release();
  }
}

/** Two sinks with one position would each skip what the other one sent. Rejects with `Failure` where there is one. */
async function lockState(directory: string): Promise<ProcessLock> {
  return takeLock(join(directory, "lock")).catch((error: unknown) => {
    if (!(error instanceof LockHeld)) throw error;
    throw new Failure(`${directory} is in use by process ${error.pid}: give each sink a --state directory of its own`);
  });
}

async function sendFrom(
  directory: string,
  { url, origin }: { readonly url: string; readonly origin: string },
  options: WebhookOptions,
): Promise<void> {
  const secret = options.secretFile === undefined ? undefined : await readSecret(options.secretFile);
  const stop = Promise.withResolvers<void>();
  let stopped = false;
  const end = (): void => {
    stopped = true;
    stop.resolve();
  };
  process.once("SIGINT", end).once("SIGTERM", end);
  const target: WebhookTarget = {
    url,
    secret,
    fetch: (to, init) => fetch(to, init),
    now: Date.now,
    pause: (delayMs) => Promise.race([Bun.sleep(delayMs), stop.promise]),
    stopped: () => stopped,
  };
  await withOperator(options, async ({ ledger }) => {
    const last = await ledger.lastRevision();
    const from = (await readPosition(directory)) ?? options.after ?? last;
    // Nobody would miss what is not sent until the ledger has come so far.
    if (from > last) {
      const place = join(directory, POSITION_FILE);
      throw new Failure(
        `the ledger ends at revision ${last}, and ${from} is where to go on: if ${place} is of another mesh, remove it, and say where to begin with --after`,
      );
    }
    await writePosition(directory, from);
    // The path, or a user in front of the host, may be what lets one post there.
    note(`sending what comes after revision ${from} to ${safeText(origin)}`);
    const send = (recorded: RecordedChange): Promise<void> => sendOne(recorded, target, directory, options.format);
    const subscription = await ledger.subscribe(from + 1, send);
    void stop.promise.then(() => subscription.stop());
    await subscription.closed;
  });
}

/** Resolves once the change is taken or laid aside, and not before: the ledger is read no faster than it is sent. */
async function sendOne(
  recorded: RecordedChange,
  target: WebhookTarget,
  directory: string,
  format: SinkFormat,
): Promise<void> {
  const { change, revision } = recorded;
  const event = logValue({ recorded, events: change.data.events }, "cloudevents");
  const body = format === "slack" ? chatMessage(recorded) : JSON.stringify(event);
  const outcome = await deliver({ id: change.id, body, contentType: CONTENT_TYPES[format] }, target);
  if (outcome.kind === "stopped") return;
  if (outcome.kind === "gone") {
    throw new Failure(
      `the receiver wants nothing any more (410), from revision ${revision} on: give another URL to go on from there`,
    );
  }
  if (outcome.kind === "refused") {
    const letter = JSON.stringify({ reason: outcome.reason, event });
    await appendFile(join(directory, DEAD_LETTER_FILE), `${letter}\n`, { mode: 0o600 });
    note(`revision ${revision} was not taken (${safeText(outcome.reason)}) and is in ${DEAD_LETTER_FILE}`);
  }
  await writePosition(directory, revision);
}

async function readPosition(directory: string): Promise<number | undefined> {
  const path = join(directory, POSITION_FILE);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new Failure(`${path} cannot be read: ${error.message}`, { cause: error });
  });
  if (text === undefined) return undefined;
  if (/^\d{1,15}\n$/.test(text)) return Number(text);
  throw new Failure(`${path} holds no revision: remove it, and say where to begin with --after`);
}

/** As a whole or not at all, whatever happens meanwhile. */
async function writePosition(directory: string, revision: number): Promise<void> {
  const path = join(directory, POSITION_FILE);
  await writeFile(`${path}.new`, `${revision}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

async function readSecret(path: string): Promise<Uint8Array> {
  const trimmed = (await readText(path)).trim();
  const secret = trimmed.startsWith("whsec_") ? Buffer.from(trimmed.slice(6), "base64") : Buffer.from(trimmed);
  if (secret.length >= SECRET_BYTES_MIN) return secret;
  throw new Failure(`${path}: the secret has ${secret.length} bytes, and must have ${SECRET_BYTES_MIN} at least`);
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new Failure(`${path}: ${error.code === "ENOENT" ? "there is no such file" : error.message}`, {
      cause: error,
    });
  });
}
