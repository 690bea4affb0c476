/** What an operator can ask of the mesh. Carried over NATS as JSON, signed; validated here, decided in `decide`. */

import { z } from "zod";
import { DNS_LABEL, TRUST_DOMAIN } from "../policy/names.ts";
import { accessRule, policyDocument, routeMatch, routeRule } from "../policy/schema.ts";
import { type DomainEvent, OPERATOR_ROLES } from "./domain-events.ts";
import { faultId } from "./fault-events.ts";
import { serialNumber } from "./trust-events.ts";

/** A user's nkey in NATS's text form. */
const userPublicKey = z.string().regex(/^U[A-Z2-7]{55}$/, "is no user's public nkey (U…)");
/** Names of people and pipelines, as logs and files show them. */
export const OPERATOR_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?$/;
/** What `OPERATOR_NAME` asks for, in words. */
export const OPERATOR_NAME_WORDS = "up to 64 letters, digits, dots, - _ and @, with a letter or digit at either end";
/** The name under which the control plane itself acts. Nobody else may look like it in the history. */
export const SYSTEM_ACTOR = "heddle";

/** Whether a name is the control plane's own, or could pass for it. */
export function isSystemName(name: string): boolean {
  return name.toLowerCase() === SYSTEM_ACTOR;
}

const service = z.strictObject({ namespace: z.string().regex(DNS_LABEL), name: z.string().regex(DNS_LABEL) });

/** Bring the named documents to this state; whatever is not named stays. */
const applyDocuments = z.strictObject({
  kind: z.literal("apply"),
  documents: z.array(policyDocument).min(1).max(10_000),
});
/** Remove these documents (`Kind/namespace/name`). */
const deleteDocuments = z.strictObject({ kind: z.literal("delete"), keys: z.array(z.string()).min(1).max(10_000) });
/** Add one access rule for a service: to the policy named `policy`, which is made if need be. */
const addAccessRule = z.strictObject({
  kind: z.literal("access"),
  service,
  policy: z.string().regex(DNS_LABEL),
  rule: accessRule,
});
/** Move traffic of a service between its subsets. Percentages; subsets not named share what is left in proportion. */
const shiftTraffic = z.strictObject({
  kind: z.literal("shift"),
  service,
  /** Only the rule at this index; without it, the last rule that has no match (the default rule). */
  rule: z.int().min(0).optional(),
  percent: z.record(z.string(), z.number().min(0).max(100)),
});
/** Bring a namespace (or only some of its documents) back to what it was at a revision. */
const rollback = z.strictObject({
  kind: z.literal("rollback"),
  toRevision: z.int().min(0),
  /** What others did up to this revision may be undone with it; without it, nothing that others did. */
  othersUpTo: z.int().min(0).optional(),
  only: z.array(z.string()).min(1).optional(),
});

/** Believe a service no longer: as a whole, or with `serial` one certificate of it, or with `instance` sign no more for it. */
const revokeIdentity = z.strictObject({
  kind: z.literal("revoke-identity"),
  service,
  serial: serialNumber.optional(),
  instance: z.string().min(1).max(64).optional(),
});
/** Sign again for a service, or for one instance of it. */
const reinstateIdentity = z.strictObject({
  kind: z.literal("reinstate-identity"),
  service,
  instance: z.string().min(1).max(64).optional(),
});
/** Let calls of a service fail or wait on purpose. */
const injectFault = z.strictObject({
  kind: z.literal("fault-inject"),
  service,
  /** Made by whoever asks. */
  id: faultId,
  match: routeMatch.optional(),
  fault: routeRule.shape.fault
    .unwrap()
    .refine((fault) => Object.values(fault).some((failure) => failure !== undefined), {
      error: "must have a delay or an abort",
    }),
  /** UTC. */
  expiresAt: z.iso.datetime().optional(),
});
/** End those faults of the namespace that are meant: one by its id, or all of a service. */
const clearFaults = z
  .strictObject({
    kind: z.literal("fault-clear"),
    service: z.string().regex(DNS_LABEL).optional(),
    id: faultId.optional(),
  })
  .refine(({ service, id }) => service !== undefined || id !== undefined, { error: "must name a service or a fault" });
/** Undo one change of the namespace, and keep what came after it. */
const revert = z.strictObject({ kind: z.literal("revert"), revision: z.int().min(1) });
/** Whoever holds the key becomes an operator. Mesh-wide, and so for admins only. */
const addOperator = z.strictObject({
  kind: z.literal("operator-add"),
  name: z.string().regex(OPERATOR_NAME),
  publicKey: userPublicKey,
  role: z.enum(OPERATOR_ROLES),
  /** Those that an editor may change; empty for the other roles. */
  namespaces: z.array(z.string().regex(DNS_LABEL)).max(1_000),
});
const revokeOperator = z.strictObject({ kind: z.literal("operator-revoke"), name: z.string().max(64) });

/** Sidecars of the service may join with the key. */
const createToken = z.strictObject({
  kind: z.literal("token-create"),
  service,
  publicKey: userPublicKey,
  /** UTC. */
  expiresAt: z.iso.datetime().optional(),
  usesMax: z.int().min(1).max(100_000).optional(),
});
const revokeToken = z.strictObject({ kind: z.literal("token-revoke"), publicKey: userPublicKey });

/** The change from the active root to a new one; control replicas take the steps as each becomes safe. */
const rotateRoot = z.strictObject({
  kind: z.literal("rotate-root"),
  action: z.enum(["start", "pause", "resume", "abort"]),
});
/** Trust a root whose key the mesh does not have, and let it take the place of the one in force. */
const addRoot = z.strictObject({
  kind: z.literal("add-root"),
  /** SHA-256 of the certificate's DER, lower-case hex. */
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  pem: z.string().max(16 * 1024),
});

/** Believe workloads of another trust domain, by these roots; or take another bundle for it. */
const federate = z.strictObject({
  kind: z.literal("federate"),
  trustDomain: z.string().regex(TRUST_DOMAIN),
  roots: z
    .array(z.string().max(16 * 1024))
    .min(1)
    .max(32),
  sequence: z.int().min(0).optional(),
});
const unfederate = z.strictObject({ kind: z.literal("unfederate"), trustDomain: z.string().max(255) });

const commandBody = z.discriminatedUnion("kind", [
  applyDocuments,
  deleteDocuments,
  addAccessRule,
  shiftTraffic,
  rollback,
  revokeIdentity,
  reinstateIdentity,
  injectFault,
  clearFaults,
  revert,
  addOperator,
  revokeOperator,
  createToken,
  revokeToken,
  rotateRoot,
  addRoot,
  federate,
  unfederate,
]);

export const commandRequest = z.strictObject({
  /** ULID, made by whoever asks. */
  id: z.string().max(64),
  /** RFC 3339; a command older than the replica's clock allows is refused. */
  time: z.string().max(64),
  /** Exactly one namespace per command (`_mesh` for what is mesh-wide): the unit of atomicity and of permission. */
  namespace: z.string().max(63),
  reason: z.string().max(1024),
  dryRun: z.boolean(),
  /** Digest of the decision that the asker has seen (from a dry run): anything else is a conflict. */
  seen: z.strictObject({ revision: z.int().min(0), digest: z.string() }).optional(),
  body: commandBody,
});

export type CommandBody = z.infer<typeof commandBody>;
export type CommandRequest = z.infer<typeof commandRequest>;

/** Why a command was refused, in words for the person who asked. */
export interface Refusal {
  readonly kind: "refused";
  readonly problems: readonly { readonly path: string; readonly message: string }[];
}

export interface Decision {
  readonly events: readonly DomainEvent[];
  /** Things that are allowed and probably not meant: a route to a subset without endpoints, a rule never reached. */
  readonly warnings: readonly string[];
}
