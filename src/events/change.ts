/**
 * A change: the unit of the ledger. One JetStream message, one command's whole effect on one namespace, an atomic
 * list of domain events in a CloudEvents 1.0 structured envelope.
 */

import { z } from "zod";
import { domainEvent } from "./domain-events.ts";

/** The schema version that this code writes; `upcast` brings older ones up to it. */
export const CHANGE_SCHEMA = 1;

export const CHANGE_TYPE = "io.heddle.change.v1";

const changeData = z.strictObject({
  schema: z.literal(CHANGE_SCHEMA),
  actor: z.strictObject({
    name: z.string(),
    /** nkey that signed the command; absent for what the control plane does on its own. */
    publicKey: z.string().optional(),
  }),
  reason: z.string().max(1024),
  /** What was asked, for the reader of history, and the proof of who asked. */
  command: z.strictObject({
    kind: z.string(),
    id: z.string(),
    /** SHA-256 of the command's bytes, lower-case hex. */
    digest: z.string(),
    /** Ed25519 by `actor.publicKey` over `digest` in ASCII, base64url; absent where there is no key. */
    signature: z.string().optional(),
    /** The command's bytes, which `digest` is of; absent for a long one, and in changes of earlier versions. */
    text: z.string().optional(),
  }),
  /** SHA-256 of the previous change's bytes in this namespace, lower-case hex; 64 zeros for the first. */
  previous: z.string().length(64),
  events: z.array(domainEvent).min(1),
});

/** CloudEvents 1.0 (§3.1), structured mode, `application/cloudevents+json`. `subject` is the namespace. */
export const changeEnvelope = z.strictObject({
  specversion: z.literal("1.0"),
  id: z.string(),
  source: z.string(),
  type: z.literal(CHANGE_TYPE),
  time: z.string(),
  subject: z.string(),
  datacontenttype: z.literal("application/json"),
  authtype: z.enum(["user", "system"]),
  authid: z.string(),
  data: changeData,
});

export type Change = z.infer<typeof changeEnvelope>;
export type ChangeData = z.infer<typeof changeData>;

/** A change as the log holds it. */
export interface RecordedChange {
  /** Sequence in the stream: the one clock of the mesh. */
  readonly revision: number;
  readonly namespace: string;
  readonly change: Change;
  /** SHA-256 of the stored bytes, lower-case hex: what the next change of the namespace names as `previous`. */
  readonly hash: string;
}

export const FIRST_PREVIOUS = "0".repeat(64);
