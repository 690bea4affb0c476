/** `heddle sink`: every change of the ledger, as it comes, for others to keep or to act upon. */

import { appendFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import type { RecordedChange } from "../../events/change.ts";
import { deliver, type WebhookTarget } from "../../telemetry/webhook.ts";
import { Failure, UsageError } from "../failure.ts";
import { parseRevision } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, directoryPath, withOperator } from "../mesh/context.ts";
import { logValue } from "../output/log-output.ts";
import { note } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface WebhookOptions extends ConnectionOptions {
  readonly secretFile?: string;
  readonly state?: string;
  /** Revision after which to begin where there is no position yet. */
  readonly after?: number;
}

const POSITION_FILE = "position";
const DEAD_LETTER_FILE = "dead-letters.jsonl";
const SECRET_BYTES_MIN = 16;

const HELP = `
Each change is one POST of a CloudEvent, in order, with webhook-id, webhook-timestamp and webhook-signature (HMAC-SHA256,
as Standard Webhooks have it). One that is not taken is sent again, for some ten minutes; what is refused for good goes
to ${DEAD_LETTER_FILE} in the state directory. The position is kept there as well: each change is sent at least once.
It begins with what comes from now on; with --after 0, the first time, with the whole history.
Credentials of a viewer will do.

Example:
  heddle sink webhook https://siem.example.org/heddle --secret-file webhook.key --state /var/lib/heddle-sink --after 0
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Send every change somewhere else.");
  connectionOptions(command.command("webhook"))
    .description("Send every change to an HTTP endpoint, until it is ended.")
    .argument("<url>", "where to, https://… or http://…")
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

async function sendAll(url: string, options: WebhookOptions): Promise<void> {
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) throw new UsageError(`'${url}' is no http or https URL`);
  const secret = options.secretFile === undefined ? undefined : await readSecret(options.secretFile);
  const directory = options.state ?? join(directoryPath(options.dir), "sink");
  await mkdir(directory, { recursive: true, mode: 0o700 });
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
    note(`sending what comes after revision ${from} to ${safeText(url)}`);
    const subscription = await ledger.subscribe(from + 1, (recorded) => sendOne(recorded, target, directory));
    void stop.promise.then(() => subscription.stop());
    await subscription.closed;
  });
}

/** Resolves once the change is taken or laid aside, and not before: the ledger is read no faster than it is sent. */
async function sendOne(recorded: RecordedChange, target: WebhookTarget, directory: string): Promise<void> {
  const { change, revision } = recorded;
  const body = JSON.stringify(logValue({ recorded, events: change.data.events }, "cloudevents"));
  const outcome = await deliver({ id: change.id, body }, target);
  if (outcome.kind === "stopped") return;
  if (outcome.kind === "gone") {
    throw new Failure(
      `the receiver wants nothing any more (410), from revision ${revision} on: give another URL to go on from there`,
    );
  }
  if (outcome.kind === "refused") {
    const letter = JSON.stringify({ reason: outcome.reason, event: JSON.parse(body) });
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
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw new Failure(`${path}: ${error.message}`, { cause: error });
  });
  const trimmed = text.trim();
  const secret = trimmed.startsWith("whsec_") ? Buffer.from(trimmed.slice(6), "base64") : Buffer.from(trimmed);
  if (secret.length >= SECRET_BYTES_MIN) return secret;
  throw new Failure(`${path}: the secret has ${secret.length} bytes, and must have ${SECRET_BYTES_MIN} at least`);
}
