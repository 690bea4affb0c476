/**
 * A denial, put for three readers: the access log (`details`), a program (`header`) and the person who wonders why
 * (`body`): who wanted what, which rule of which revision said no, and the command that would allow it.
 */

import type { ServiceRef } from "../../policy/names.ts";
import { NO_IDENTITY } from "../../policy/principal.ts";
import { formatOrigin, type RuleOrigin, type SnapshotAccessRule } from "../../projections/snapshot.ts";
import { pathEnd } from "../route/path.ts";
import type { Decision, NearestGrant } from "./access.ts";
import type { ConditionName } from "./access-conditions.ts";
import { type Caller, callerRef } from "./access-input.ts";
import { claimName } from "./claims.ts";

/** Characters of a client's path or method that are repeated back to it. */
const SHOWN_MAX = 128;

/** A call that was refused, and by which decision. */
export interface DeniedCall {
  /** Undefined: the caller showed no certificate. */
  readonly caller: Caller | undefined;
  readonly service: ServiceRef;
  readonly method: string;
  /** The normalised path, its query ignored. */
  readonly target: string;
  /** The request is a gRPC call, which rules name by service and method. */
  readonly isGrpc?: boolean;
  /** The port, where the service has more than one. */
  readonly port?: number | undefined;
  /** Revision of the snapshot that decided. */
  readonly revision: number;
  readonly decision: Decision;
}

/** The same for each of its readers. */
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
  const { label, text } = describeRemedy(call, path);
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
  if (nearest !== undefined) return describeNearest(nearest, what);
  if (reason === "unauthenticated") return "no rule allows callers without a certificate of the mesh";
  return "no rule allows this caller";
}

/** What the grant that came closest to a call allows, and `what` does not meet. */
export function describeNearest({ rule, unmet }: NearestGrant, what: string): string {
  const allows = `${formatOrigin(rule.origin)} allows this caller`;
  if (unmet.every((name) => name === "methods" || name === "paths")) {
    const { methods = ["any method"], paths = ["any path"] } = rule;
    return `${allows} ${list(methods)} on ${list(paths)}, but not ${what}`;
  }
  return `${allows} only ${unmet.map((name) => describeCondition(rule, name)).join(" and ")}`;
}

/** Of headers and claims the names alone: what a caller has to know may be a secret. */
function describeCondition(rule: SnapshotAccessRule, name: ConditionName): string {
  switch (name) {
    case "from":
    case "notFrom":
      return "as another caller";
    case "ipBlocks":
    case "notIpBlocks":
      return "from other addresses";
    case "methods":
      return `with ${list(rule.methods ?? [])}`;
    case "notMethods":
      return `not with ${list(rule.notMethods ?? [])}`;
    case "paths":
      return `on ${list(rule.paths ?? [])}`;
    case "notPaths":
      return `not on ${list(rule.notPaths ?? [])}`;
    case "ports":
    case "notPorts":
      return "on other ports";
    case "headers":
      return `with the right ${list(Object.keys(rule.headers ?? {}))}`;
    case "notHeaders":
      return `without such a ${list(Object.keys(rule.notHeaders ?? {}))}`;
    case "sni":
    case "notSni":
      return "under other server names";
    case "grpc":
    case "notGrpc":
      return "for other gRPC methods";
    case "when":
      return `with a token that has the right ${list((rule.when ?? []).map(claimName))}`;
  }
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

function describeRemedy(call: DeniedCall, path: string): Remedy {
  const { caller, service, method, decision } = call;
  const { origin, nearest } = decision;
  if (origin !== undefined) {
    const rule = `rule [${origin.rule}] of AccessPolicy ${origin.document}`;
    return advice(`A denial wins over any grant: narrow ${rule} and apply it.`);
  }
  const command = grantCommand(caller === undefined ? NO_IDENTITY : callerRef(caller), service, method, path, call);
  if (command === undefined) {
    return advice("No rule can name just this request: write one for its method and path, and apply it.");
  }
  if (nearest?.unmet.some((name) => !NAMED_BY_COMMAND.has(name)) === true) {
    return advice(`Call as the rule wants it, or allow it whatever else holds: ${command}`);
  }
  if (caller !== undefined) return { label: "To allow it", text: command };
  return advice(`Call through a Heddle sidecar, which proves who the caller is, or let anybody: ${command}`);
}

/** The conditions that a suggested command can express; it would drop any other. */
const NAMED_BY_COMMAND: ReadonlySet<ConditionName> = new Set(["methods", "paths", "grpc", "ports"]);

function advice(text: string): Remedy {
  return { label: "What to do", text };
}

const POLICY_METHOD = /^[A-Z][A-Z-]{0,31}$/;

/** What of a call its method and path do not tell. */
export type GrantDetails = Pick<DeniedCall, "isGrpc" | "port">;

/**
 * The command that grants exactly this call, quoted for a POSIX shell, since method and path come from a client and
 * the line is meant to be pasted. Undefined where the grant would be wider than the call, or cannot be written: `*`
 * and `{}` would be read as a pattern, `,` as a list, and half a path is not the path.
 * @param from a caller as rules name it; `none`: callers without an identity.
 */
export function grantCommand(
  from: string,
  to: ServiceRef,
  method: string,
  path: string,
  { isGrpc = false, port }: GrantDetails = {},
): string | undefined {
  const what = grantedRequests(method, path, isGrpc);
  if (what === undefined) return undefined;
  const on = port === undefined ? [] : ["--ports", String(port)];
  return ["heddle allow", shellQuote(from), shellQuote(to), ...what, ...on].join(" ");
}

function grantedRequests(method: string, path: string, isGrpc: boolean): string[] | undefined {
  // A TCP connection: there is nothing else that a rule could name.
  if (method === "CONNECT" && path === "") return [];
  if (!POLICY_METHOD.test(method)) return undefined;
  const grpc = isGrpc && method === "POST" ? GRPC_PATH.exec(path)?.[1] : undefined;
  if (grpc !== undefined) return ["--grpc", grpc];
  if (!path.startsWith("/") || /[*,{}]/.test(path) || printable(path) !== path) return undefined;
  return ["--methods", method, "--paths", shellQuote(path)];
}

/** A path that is a gRPC service and method, of such length as rules can hold. */
const GRPC_PATH = /^\/((?=.{1,128}$)[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\/[A-Za-z_]\w*)$/;

/** One word of a POSIX shell: as it is when nothing in it is special, else in single quotes. */
export function shellQuote(word: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Bounded, and safe in a header and on a terminal: whatever is not printable ASCII shows as `?`. */
function printable(text: string): string {
  const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text;
  return shown.replace(/[^\x20-\x7e]/g, "?");
}
