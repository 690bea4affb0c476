/** Whether a change was asked for by the holder of the key that it names. */

import type { RecordedChange } from "../events/change.ts";
import { verify } from "../nats/keys.ts";

/** `none`: the control plane did it on its own, without an operator. */
export type SignatureState = "verified" | "invalid" | "none";

/** Checks the operator's signature over the digest of the command, as the change keeps both. */
export function signatureState({ change }: RecordedChange): SignatureState {
  const { actor, command } = change.data;
  if (actor.publicKey === undefined && command.signature === undefined) return "none";
  if (actor.publicKey === undefined || command.signature === undefined) return "invalid";
  const signature = Buffer.from(command.signature, "base64url");
  return verify(actor.publicKey, new TextEncoder().encode(command.digest), signature) ? "verified" : "invalid";
}
