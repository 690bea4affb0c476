/**
 * Whether a command is what its sender signed, and whether the sender may ask for it. NATS's permissions are the first
 * gate (nobody else can publish under an operator's key); this is the second, which holds where those were set wrongly.
 */

import type { z } from "zod";
import { type CommandRequest, commandRequest } from "../events/commands.ts";
import type { MeshState, Operator } from "../events/state.ts";
import { isUserPublicKey, verify } from "../nats/keys.ts";
import { parseJson } from "../policy/json.ts";
import { MESH_NAMESPACE } from "../policy/names.ts";
import { formatPath } from "../policy/problems.ts";
import { err, ok, type Result } from "../policy/result.ts";
import { type CommandReply, signedCommand, signedText } from "./protocol.ts";

/** The asker's clock may be wrong by this much; for so long, a command's id must be remembered. */
export const CLOCK_TOLERANCE_MS = 5 * 60_000;

/** Problems of form beyond these are noise. */
const PROBLEMS_MAX = 20;

export type RefusedReply = Extract<CommandReply, { kind: "refused" }>;

/** A command that is its sender's own. Whether the sender may ask for it is another question. */
export interface SignedRequest {
  readonly publicKey: string;
  readonly request: CommandRequest;
  /** SHA-256 of the command's bytes, lower-case hex: what the signature is over. */
  readonly digest: string;
  /** base64url. */
  readonly signature: string;
  /** The command's bytes. */
  readonly text: string;
}

export interface CommandMessage {
  /** `heddle.cmd.<nkey>.<namespace>`. */
  readonly subject: string;
  readonly data: Uint8Array;
}

/** @param nowMs milliseconds since the epoch */
export function readCommand({ subject, data }: CommandMessage, nowMs: number): Result<SignedRequest, RefusedReply> {
  const [publicKey = "", namespace = ""] = subject.split(".").slice(2);
  if (!isUserPublicKey(publicKey)) return refused("", "the subject does not name a user's public key");
  const envelope = signedCommand.safeParse(parseJson(data));
  if (!envelope.success) return refused("", "the message is not a signed command");
  const { command, signature } = envelope.data;
  const digest = signedText(command);
  if (!verify(publicKey, new TextEncoder().encode(digest), Buffer.from(signature, "base64url"))) {
    return refused("", `the signature is not ${publicKey}'s over this command`);
  }
  const parsed = commandRequest.safeParse(parseJson(command));
  if (!parsed.success)
    return err({ kind: "refused", problems: parsed.error.issues.slice(0, PROBLEMS_MAX).map(toProblem) });
  const request = parsed.data;
  if (request.namespace !== namespace) {
    return refused("namespace", `the command is for ${request.namespace}, and was sent as one for ${namespace}`);
  }
  const ageMs = nowMs - Date.parse(request.time);
  // NaN where the time is none.
  if (!(Math.abs(ageMs) <= CLOCK_TOLERANCE_MS)) {
    return refused(
      "time",
      `the command is of ${request.time}, now it is ${new Date(nowMs).toISOString()}: set the clock`,
    );
  }
  return ok({ publicKey, request, digest, signature, text: command });
}

/** The operator behind a key, where the ledger knows one who may change the namespace. */
export function authorize(state: MeshState, publicKey: string, namespace: string): Result<Operator, RefusedReply> {
  const operator = state.operators.get(publicKey);
  if (operator === undefined) return refused("", `the mesh knows no operator with the key ${publicKey}`);
  if (mayChange(operator, namespace)) return ok(operator);
  const { name, role, namespaces } = operator;
  const where = role === "editor" ? `may change ${namespaces.join(", ") || "no namespace"} only` : "may only read";
  return refused("namespace", `${name} is ${role} and ${where}: an admin can change ${namespace}`);
}

function mayChange({ role, namespaces }: Operator, namespace: string): boolean {
  switch (role) {
    case "admin":
      return true;
    case "editor":
      // What is mesh-wide, operators among it, is nobody's namespace, whatever the ledger grants.
      return namespace !== MESH_NAMESPACE && namespaces.includes(namespace);
    case "viewer":
      return false;
  }
}

/** A refusal for one reason. */
export function refused(path: string, message: string): { readonly ok: false; readonly error: RefusedReply } {
  return err({ kind: "refused", problems: [{ path, message }] });
}

function toProblem({ path, message }: z.core.$ZodIssue): { path: string; message: string } {
  return { path: formatPath(path.filter((step) => typeof step !== "symbol")), message };
}
