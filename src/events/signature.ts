/** Whether a change was asked for by the holder of the key that it names, and is what was asked for. */

import { verify } from "../nats/keys.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { parseJson } from "../policy/json.ts";
import { sha256Hex } from "./chain.ts";
import type { RecordedChange } from "./change.ts";
import { commandRequest } from "./commands.ts";
import type { DomainEvent } from "./domain-events.ts";

/** `none`: the control plane did it on its own, without an operator. */
export type SignatureState = "verified" | "invalid" | "none";

/**
 * Commands up to this many characters are kept beside what they led to, so that whoever reads the ledger can check that
 * the one is what the other asked for. Of longer ones, only the digest is: an apply of thousands of documents would
 * double the change.
 */
export const KEPT_COMMAND_LENGTH_MAX = 16 * 1024;

/** Checks the operator's signature over the digest of the command, as the change keeps both. */
export function signatureState({ change }: RecordedChange): SignatureState {
  const { actor, command } = change.data;
  if (actor.publicKey === undefined && command.signature === undefined) return "none";
  if (actor.publicKey === undefined || command.signature === undefined) return "invalid";
  const signature = Buffer.from(command.signature, "base64url");
  return verify(actor.publicKey, new TextEncoder().encode(command.digest), signature) ? "verified" : "invalid";
}

/** What two decisions have in common when they are the same one: the namespace and the events, to the letter. */
export function decisionDigest(namespace: string, events: readonly DomainEvent[]): string {
  return sha256Hex(canonicalJson({ namespace, events }));
}

/** How a change differs from what its command asked for, in words; undefined: it does not, or no command was kept. */
export function commandMismatch({ change, namespace }: RecordedChange): string | undefined {
  const { command, reason, events } = change.data;
  if (command.text === undefined) return undefined;
  if (sha256Hex(command.text) !== command.digest) return "its command is not the one that was signed";
  const parsed = commandRequest.safeParse(parseJson(command.text));
  // Written by a version with other commands: all that can be said is that it was signed.
  if (!parsed.success) return undefined;
  const request = parsed.data;
  if (request.namespace !== namespace) return `its command was for ${request.namespace}`;
  if (request.id !== command.id || request.body.kind !== command.kind) return "it names another command than it holds";
  if (request.reason !== reason) return "its reason is not the one that was signed";
  if (request.seen !== undefined && request.seen.digest !== decisionDigest(namespace, events)) {
    return "its events are not those that the operator saw and signed";
  }
  return undefined;
}
