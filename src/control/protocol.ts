/**
 * What the command line and a control replica say to each other over NATS, beside the ledger itself, which anyone with
 * read permission reads directly: commands on `heddle.cmd.<nkey>.<namespace>`, questions on
 * `heddle.query.<nkey>.<kind>`. The question `ping` is answered at once, with an empty object, by any replica.
 */

import { z } from "zod";
import { sha256Hex } from "../events/chain.ts";
import { domainEvent } from "../events/domain-events.ts";
import { instanceStatus } from "../projections/snapshot.ts";

/**
 * A command as sent: the exact bytes of a `CommandRequest` in JSON, so that what was signed is what is decided and not
 * a re-encoding of it, and the operator's Ed25519 (nkey) signature, base64url, over `signedText(command)`. Signing the
 * digest is what lets a reader of the ledger, which keeps the digest and not the command, check who asked.
 */
export const signedCommand = z.strictObject({
  command: z.string().max(4 * 1024 * 1024),
  signature: z.string().max(128),
});

/** What an operator signs for a command: the lower-case hex SHA-256 of its bytes, in ASCII. */
export function signedText(command: string): string {
  return sha256Hex(new TextEncoder().encode(command));
}

/** The decision, appended or (dry run) only shown. */
const decided = z.strictObject({
  kind: z.literal("decided"),
  /** The new revision; absent for a dry run, and where nothing had to change. */
  revision: z.int().optional(),
  /** Last revision of the namespace that the decision was based on. */
  basedOn: z.int(),
  /** Digest of (namespace, events): what a later command says that it has `seen`. */
  digest: z.string(),
  events: z.array(domainEvent),
  warnings: z.array(z.string()),
});

/** A change that came in between, told to whoever lost. */
const intervening = z.strictObject({
  revision: z.int(),
  actor: z.string(),
  time: z.string(),
  reason: z.string(),
  /** One sentence per event. */
  lines: z.array(z.string()),
});

const conflicted = z.strictObject({ kind: z.literal("conflict"), changes: z.array(intervening) });

const refused = z.strictObject({
  kind: z.literal("refused"),
  problems: z.array(z.strictObject({ path: z.string(), message: z.string() })).min(1),
});

export const commandReply = z.discriminatedUnion("kind", [decided, conflicted, refused]);
export type CommandReply = z.infer<typeof commandReply>;

/**
 * `heddle.query.<nkey>.credentials`: what the mesh says of a key that the ledger names as an operator's or a token's.
 * A JWT is no secret: it is worth nothing without the key.
 */
export const credentialsRequest = z.strictObject({ publicKey: z.string().max(64) });
export const credentialsReply = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("valid"), jwt: z.string() }),
  /** `enforced`: the NATS servers know it, and have closed its connections. */
  z.strictObject({ kind: z.literal("revoked"), enforced: z.boolean(), why: z.string().optional() }),
  z.strictObject({ kind: z.literal("unknown") }),
  /** The ledger names the key, but this replica was not given the account key that signs JWTs. */
  z.strictObject({ kind: z.literal("keyless") }),
]);
export type CredentialsReply = z.infer<typeof credentialsReply>;

/** `heddle.query.<nkey>.check`: how the control plane is, as the replica that answers sees it. */
export const checkReply = z.strictObject({
  /** Of the replica's clock, milliseconds since the epoch. */
  timeMs: z.number(),
  replicas: z.array(
    z.strictObject({
      id: z.string(),
      version: z.string(),
      revision: z.int(),
      startedAt: z.string(),
      /** Its clock less that of the replica that answers, in milliseconds. */
      skewMs: z.number(),
      /** Why it signs no certificates; absent: it does. */
      cannotSign: z.string().optional(),
    }),
  ),
  /** Why whoever was revoked may still get into NATS; absent when they do not. */
  revocations: z.string().optional(),
  /** Ends of the certificates that sign, milliseconds since the epoch. */
  rootNotAfterMs: z.number(),
  issuerNotAfterMs: z.number(),
});
export type CheckReply = z.infer<typeof checkReply>;

/** `heddle.query.<nkey>.status`: every instance that the replica knows, and what each should enforce. */
export const statusReply = z.strictObject({
  /** Last revision that the replica has folded. */
  revision: z.int(),
  services: z.array(
    z.strictObject({
      namespace: z.string(),
      name: z.string(),
      /** Revision of the snapshot that is published for it. */
      expectedRevision: z.int(),
    }),
  ),
  /** Accepted, not enforced by this version: places in documents, such as `Mesh/_mesh/default spec.mtls`. */
  notEnforced: z.array(z.string()),
  instances: z.array(
    z.strictObject({
      status: instanceStatus,
      /** Milliseconds since its last word. */
      silentMs: z.number(),
      /** False when it has not been heard of for longer than its heartbeat allows. */
      connected: z.boolean(),
      /** Addresses of other sidecars that go by its name, to which nobody is sent; absent: none. */
      rivals: z.array(z.string()).optional(),
    }),
  ),
});
export type StatusReply = z.infer<typeof statusReply>;

/** `heddle.query.<nkey>.ca`: what the change of roots that is under way waits for. */
export const rotationReply = z.strictObject({
  /** Last revision that the replica has folded. */
  revision: z.int(),
  /** Why the next step is not taken yet; empty where it is about to be, or none is due. */
  waiting: z.array(z.strictObject({ instance: z.string(), service: z.string(), why: z.string() })),
});
export type RotationReply = z.infer<typeof rotationReply>;

/**
 * `heddle.query.<nkey>.wait`: answered when every connected instance enforces what `revision` asks of its service, or
 * at the timeout. The asker's own request timeout must be longer.
 */
export const waitRequest = z.strictObject({ revision: z.int().min(1), timeoutMs: z.int().min(0).max(600_000) });
export const waitReply = z.strictObject({
  applied: z.boolean(),
  /** Milliseconds from the change's append to the last acknowledgement, where this replica saw both. */
  convergenceMs: z.number().optional(),
  /** Those that are not there yet, with the reason in words. */
  lagging: z.array(z.strictObject({ instance: z.string(), service: z.string(), revision: z.int(), why: z.string() })),
});
export type WaitReply = z.infer<typeof waitReply>;
