/**
 * A denial, put for three readers: the access log (`details`), a program (`header`) and the person who wonders why
 * (`body`): who wanted what, which rule of which revision said no, and the command that would allow it.
 */

import type { ServiceRef } from "../../policy/names.ts";
import { formatOrigin, type RuleOrigin } from "../../projections/snapshot.ts";
import { pathEnd } from "../route/path.ts";
import { type Caller, callerRef, type Decision } from "./access.ts";

/** Characters of a client's path or method that are repeated back to it. */
const SHOWN_MAX = 128;

export interface DeniedCall {
  /** Undefined: the caller showed no certificate. */
  readonly caller: Caller | undefined;
  readonly service: ServiceRef;
  readonly method: string;
  /** The normalised path, its query ignored. */
  readonly target: string;
  /** Revision of the snapshot that decided. */
  readonly revision: number;
  readonly decision: Decision;
}

export interface Denial {
  /** `rbac_access_denied_matched_policy[shop/payment-allow-orders[0]@42]`, `[none]@42` where no rule matched. */
  readonly details: string;
  /** Value of `x-heddle-denied`: one line of printable ASCII. */
  readonly header: string;
  /** Plain text, several lines, each ended by a line feed. */
  readonly body: string;
}

/** Explains a decision that was not `allowed`. */
export function describeDenial(call: DeniedCall): Denial {
  const { caller, service, revision, decision } = call;
  const path = call.target.slice(0, pathEnd(call.target));
  const who = caller === undefined ? "a caller without a certificate" : callerRef(caller);
  const what = `${printable(call.method)} ${printable(path)}`;
  const headline = `${printable(who)} may not ${what} on ${service}`;
  const why = reason(decision, what);
  const { label, text } = describeRemedy(caller, service, call.method, path, decision);
  const asOf = `policy revision ${revision}`;
  return {
    details: `rbac_access_denied_matched_policy${matchedPolicy(decision.origin, revision)}`,
    header: `${headline}: ${why} (${asOf}). ${label}: ${text}`,
    body: `Denied: ${headline}.\nWhy: ${why} (${asOf}).\n${label}: ${text}\n`,
  };
}

function matchedPolicy(origin: RuleOrigin | undefined, revision: number): string {
  return origin === undefined ? `[none]@${revision}` : `[${formatOrigin(origin)}]`;
}

function reason({ origin, reason, nearest }: Decision, what: string): string {
  if (origin !== undefined) return `the deny rule ${formatOrigin(origin)} forbids it`;
  if (reason === "unauthenticated") return "rules can allow only callers with a certificate of the mesh";
  if (nearest === undefined) return "no rule allows this caller";
  const { methods = ["any method"], paths = ["any path"] } = nearest;
  return `${formatOrigin(nearest.origin)} allows this caller ${list(methods)} on ${list(paths)}, but not ${what}`;
}

/** At most four, so that a rule of a thousand paths still makes a line. */
function list(texts: readonly string[]): string {
  const shown = texts.slice(0, 4).map(printable).join(", ");
  return texts.length > 4 ? `${shown} and ${texts.length - 4} more` : shown;
}

/** `text` is a command, to be pasted as it is, where `label` says so. */
interface Remedy {
  readonly label: "To allow it" | "What to do";
  readonly text: string;
}

function describeRemedy(
  caller: Caller | undefined,
  service: ServiceRef,
  method: string,
  path: string,
  { origin }: Decision,
): Remedy {
  if (origin !== undefined) {
    const rule = `rule [${origin.rule}] of AccessPolicy ${origin.document}`;
    return advice(`A denial wins over any grant: narrow ${rule} and apply it.`);
  }
  if (caller === undefined) return advice("Call through a Heddle sidecar, which proves who the caller is.");
  const command = grantCommand(callerRef(caller), service, method, path);
  return command === undefined
    ? advice("No rule can name just this request: write one for its method and path, and apply it.")
    : { label: "To allow it", text: command };
}

function advice(text: string): Remedy {
  return { label: "What to do", text };
}

const POLICY_METHOD = /^[A-Z][A-Z-]{0,31}$/;

/**
 * The command that grants exactly this call, quoted for a POSIX shell, since method and path come from a client and
 * the line is meant to be pasted. Undefined where the grant would be wider than the call, or cannot be written: `*`
 * would be read as a pattern, `,` as a list, and half a path is not the path.
 */
export function grantCommand(from: ServiceRef, to: ServiceRef, method: string, path: string): string | undefined {
  if (!POLICY_METHOD.test(method)) return undefined;
  if (!path.startsWith("/") || /[*,]/.test(path) || printable(path) !== path) return undefined;
  return `heddle allow ${shellQuote(from)} ${shellQuote(to)} --methods ${method} --paths ${shellQuote(path)}`;
}

/** One word of a POSIX shell: as it is when nothing in it is special, else in single quotes. */
export function shellQuote(word: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Bounded, and safe in a header and on a terminal: whatever is not printable ASCII shows as `?`. */
function printable(text: string): string {
  const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text;
  return shown.replace(/[^\x20-\x7e]/g, "?");
}
