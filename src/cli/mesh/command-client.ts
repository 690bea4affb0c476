/** Asks the control plane: commands, signed with the operator's key, and questions. */

import { ulid } from "ulid";
import type { z } from "zod";
import {
  type CheckReply,
  type CommandReply,
  type CredentialsReply,
  checkReply,
  commandReply,
  credentialsReply,
  type RotationReply,
  rotationReply,
  type StatusReply,
  signedText,
  statusReply,
  type WaitReply,
  waitReply,
} from "../../control/protocol.ts";
import type { CommandBody, CommandRequest } from "../../events/commands.ts";
import { NoResponders, PermissionDenied, RequestTimeout } from "../../nats/bus.ts";
import { sign } from "../../nats/keys.ts";
import { subjects } from "../../nats/subjects.ts";
import { parseJson } from "../../policy/json.ts";
import { Failure } from "../failure.ts";
import type { OperatorContext } from "./context.ts";

/** Deciding takes milliseconds; a rollback far back folds history, and an append may have to outlast an election. */
const COMMAND_TIMEOUT_MS = 30_000;
const STATUS_TIMEOUT_MS = 10_000;
/** For a key that was revoked the replica waits until the NATS servers know. */
const CREDENTIALS_TIMEOUT_MS = 15_000;
/** A replica answers a ping within a round trip. One that is just being started again is waited for. */
const PING_TIMEOUT_MS = 500;
const PINGS_MAX = 6;
/** A replica that is asked to wait may be gone before it answers: it is asked anew this often. */
const WAIT_SLICE_MS = 5_000;
/** On top of that: the answer still has to arrive. */
const WAIT_GRACE_MS = 5_000;

export interface CommandInput {
  readonly namespace: string;
  readonly body: CommandBody;
  readonly reason: string;
  /** Only say what would be decided. */
  readonly dryRun: boolean;
  /** The decision of an earlier dry run: if it would not be the same any more, the answer is a conflict. */
  readonly seen?: CommandRequest["seen"];
}

/** What sending a command needs of a connection. */
export type CommandSender = Pick<OperatorContext, "bus" | "credentials">;

/**
 * Sends one command and resolves with the answer, a refusal or conflict included. Rejects with `Failure` when no
 * control replica answers, or the operator may not change that namespace.
 */
export async function sendCommand(sender: CommandSender, input: CommandInput): Promise<CommandReply> {
  const { namespace, body, reason, dryRun, seen } = input;
  const request: CommandRequest = {
    id: ulid(),
    time: new Date().toISOString(),
    namespace,
    reason,
    dryRun,
    ...(seen === undefined ? {} : { seen }),
    body,
  };
  const command = JSON.stringify(request);
  const signature = sign(sender.credentials.seed, new TextEncoder().encode(signedText(command)));
  const signed = { command, signature: Buffer.from(signature).toString("base64url") };
  const subject = subjects.command(sender.credentials.publicKey, namespace);
  const what = `change the namespace ${namespace}`;
  return ask(sender, {
    subject,
    payload: signed,
    answer: commandReply,
    timeoutMs: COMMAND_TIMEOUT_MS,
    what,
    isCommand: true,
  });
}

/** Every instance of the mesh and what it should enforce. Rejects as `sendCommand` does. */
export function askStatus(sender: CommandSender): Promise<StatusReply> {
  const subject = subjects.query(sender.credentials.publicKey, "status");
  return ask(sender, {
    subject,
    payload: {},
    answer: statusReply,
    timeoutMs: STATUS_TIMEOUT_MS,
    what: "ask for status",
  });
}

/** What the change of roots that is under way waits for. Rejects as `sendCommand` does. */
export function askRotation(sender: CommandSender): Promise<RotationReply> {
  const subject = subjects.query(sender.credentials.publicKey, "ca");
  const what = "ask for the state of the roots";
  return ask(sender, { subject, payload: {}, answer: rotationReply, timeoutMs: STATUS_TIMEOUT_MS, what });
}

/** Waits, at most `timeoutMs`, until every connected instance enforces `revision`. Rejects as `sendCommand` does. */
export function askWait(sender: CommandSender, request: { revision: number; timeoutMs: number }): Promise<WaitReply> {
  return waitUntil(sender, request.revision, performance.now() + request.timeoutMs);
}

async function waitUntil(sender: CommandSender, revision: number, deadlineMs: number): Promise<WaitReply> {
  const subject = subjects.query(sender.credentials.publicKey, "wait");
  for (;;) {
    const startMs = performance.now();
    const leftMs = Math.max(0, Math.ceil(deadlineMs - startMs));
    const sliceMs = Math.min(leftMs, WAIT_SLICE_MS);
    const payload = { revision, timeoutMs: sliceMs };
    const timeoutMs = sliceMs + WAIT_GRACE_MS;
    try {
      const reply = await ask(sender, { subject, payload, answer: waitReply, timeoutMs, what: "wait" });
      if (reply.applied || sliceMs === leftMs) return reply;
    } catch (error) {
      const isAway = error instanceof Failure && error.cause instanceof RequestTimeout;
      if (!isAway || performance.now() >= deadlineMs) throw error;
    }
    // One that is about to stop answers before the time is up.
    if (performance.now() - startMs < sliceMs) await Bun.sleep(PING_TIMEOUT_MS);
  }
}

/** What the mesh says of a key. Rejects as `sendCommand` does. */
export function askCredentials(sender: CommandSender, publicKey: string): Promise<CredentialsReply> {
  return ask(sender, {
    subject: subjects.query(sender.credentials.publicKey, "credentials"),
    payload: { publicKey },
    answer: credentialsReply,
    timeoutMs: CREDENTIALS_TIMEOUT_MS,
    what: "ask for credentials",
  });
}

/** How the control plane is. Rejects as `sendCommand` does. */
export function askCheck(sender: CommandSender): Promise<CheckReply> {
  return ask(sender, {
    subject: subjects.query(sender.credentials.publicKey, "check"),
    payload: {},
    answer: checkReply,
    timeoutMs: STATUS_TIMEOUT_MS,
    what: "ask how control is",
  });
}

interface Question<T> {
  readonly subject: string;
  readonly payload: object;
  readonly answer: z.ZodType<T>;
  readonly timeoutMs: number;
  /** Completes "… may not". */
  readonly what: string;
  /** It changes something: without an answer nobody knows whether it did. */
  readonly isCommand?: true;
}

async function ask<T>(sender: CommandSender, question: Question<T>): Promise<T> {
  const { bus, credentials } = sender;
  const { subject, payload, answer, timeoutMs, what } = question;
  const data = new TextEncoder().encode(JSON.stringify(payload));
  let reply: Uint8Array;
  try {
    await findReplica(sender);
    reply = await bus.request(subject, data, { timeoutMs });
  } catch (cause) {
    throw new Failure(unansweredText(cause, credentials.name, question), { cause });
  }
  const parsed = answer.safeParse(parseJson(reply));
  if (parsed.success) return parsed.data;
  throw new Failure(`could not ${what}: control's answer is not understood; is it of another version?`);
}

/**
 * Resolves when some replica answers. NATS does not tell across accounts that nobody listens, and a command should not
 * have to be waited for at length to find that out.
 */
async function findReplica({ bus, credentials }: CommandSender): Promise<void> {
  const subject = subjects.query(credentials.publicKey, "ping");
  for (let pings = 1; ; pings++) {
    try {
      await bus.request(subject, new Uint8Array(), { timeoutMs: PING_TIMEOUT_MS });
      return;
    } catch (error) {
      const isAway = error instanceof RequestTimeout || error instanceof NoResponders;
      if (!isAway) throw error;
      if (pings === PINGS_MAX) throw new NoResponders(`nobody answers on ${subject}`, { cause: error });
      if (error instanceof NoResponders) await Bun.sleep(PING_TIMEOUT_MS);
    }
  }
}

function unansweredText(cause: unknown, name: string, { what, timeoutMs, isCommand }: Question<unknown>): string {
  if (cause instanceof NoResponders) {
    return "no control replica answers: is one running? (`heddle up`, or `heddle control`)";
  }
  if (cause instanceof PermissionDenied) return `${name} may not ${what}: the credentials do not allow it`;
  if (cause instanceof RequestTimeout) {
    const doubt = isCommand ? "; the command may have been carried out: see `heddle log`" : "";
    return `no answer within ${timeoutMs / 1000} s${doubt}`;
  }
  return cause instanceof Error ? cause.message : String(cause);
}
