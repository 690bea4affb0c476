/**
 * The conditions of an access rule, compiled one by one, so that a denial can say which of them did not hold. Where a
 * request can be read in more than one way, each condition takes the reading that opens less: what a rule closes is
 * compared widely, what it opens narrowly, and in the `not…` fields it is the other way round.
 */

import { compileIpBlocks } from "../../policy/ip-block.ts";
import { ANY_CALLER, isSpiffePattern, NO_IDENTITY } from "../../policy/principal.ts";
import type { AccessConditions, GrpcMethods, HeaderMatch, SnapshotAccessRule } from "../../projections/snapshot.ts";
import { pathEnd } from "../route/path.ts";
import { type AccessPeer, type AccessRequest, type Caller, callerRef } from "./access-input.ts";
import { compileClaims } from "./claims.ts";
import { compilePaths } from "./path-pattern.ts";

/** The field of a rule that a condition comes from. */
export type ConditionName = keyof AccessConditions;

/** What a connection shows once and for all. */
export interface PeerCondition {
  readonly name: ConditionName;
  holds(peer: AccessPeer): boolean;
}

export interface RequestCondition {
  readonly name: ConditionName;
  /** `path`: of the request's target, without the query. */
  holds(request: AccessRequest, path: string): boolean;
}

type Values<F extends ConditionName> = NonNullable<AccessConditions[F]>;

/** Whom a rule is about. Without `from`, an allow rule is about every authenticated caller, others about everybody. */
export function compileCallers({ action, from, notFrom }: SnapshotAccessRule): (caller: Caller | undefined) => boolean {
  const opens = action === "allow";
  const included = namesCaller(from ?? [ANY_CALLER], !opens);
  // To be left out of a denial, a caller has to prove who it is.
  const excluded = notFrom === undefined ? () => false : namesCaller(notFrom, opens);
  return (caller) => included(caller) && !excluded(caller);
}

/**
 * Widely, `*` is everybody: leaving the certificate at home must not lift a denial. Narrowly it is every caller of the
 * own trust domain; those of others have to be named.
 */
function namesCaller(patterns: readonly string[], wide: boolean): (caller: Caller | undefined) => boolean {
  const names = new Set<string>(patterns);
  const anybody = names.has(ANY_CALLER);
  if (wide && anybody) return () => true;
  const nobody = names.has(NO_IDENTITY);
  const beginnings = patterns.filter((name) => isSpiffePattern(name) && name.endsWith("/*"));
  const isNamed = (id: string): boolean => names.has(id) || beginnings.some((one) => id.startsWith(one.slice(0, -1)));
  return (caller) => {
    if (caller === undefined) return nobody;
    if (caller.trustDomain !== undefined) return isNamed(callerRef(caller));
    return anybody || names.has(`${caller.namespace}/*`) || names.has(callerRef(caller));
  };
}

/** The conditions on the connection, beside who calls. */
export function compilePeerConditions({ ipBlocks, notIpBlocks, sni, notSni }: SnapshotAccessRule): PeerCondition[] {
  const conditions: PeerCondition[] = [];
  const add = (name: ConditionName, holds: (peer: AccessPeer) => boolean): void =>
    void conditions.push({ name, holds });
  if (ipBlocks !== undefined) add("ipBlocks", inBlocks(ipBlocks));
  if (notIpBlocks !== undefined) add("notIpBlocks", not(inBlocks(notIpBlocks)));
  if (sni !== undefined) add("sni", asksForServer(sni));
  if (notSni !== undefined) add("notSni", not(asksForServer(notSni)));
  return conditions;
}

function inBlocks(blocks: Values<"ipBlocks">): (peer: AccessPeer) => boolean {
  const contains = compileIpBlocks(blocks);
  return ({ ip }) => contains(ip);
}

function asksForServer(names: Values<"sni">): (peer: AccessPeer) => boolean {
  const exact = new Set(names);
  const endings = names.filter((name) => name.startsWith("*.")).map((name) => name.slice(1));
  return ({ serverName }) => {
    const name = serverName?.toLowerCase();
    return name !== undefined && (exact.has(name) || endings.some((ending) => name.endsWith(ending)));
  };
}

/**
 * The conditions on each request. Of a TCP connection none but the port can be told: an allow rule that asks for
 * more does not match it, any other rule does.
 */
export function compileRequestConditions(rule: SnapshotAccessRule): RequestCondition[] {
  const wide = rule.action !== "allow";
  const conditions: RequestCondition[] = [];
  const add = (name: ConditionName, holds: RequestCondition["holds"]): void => void conditions.push({ name, holds });
  const addHttp = (name: ConditionName, holds: RequestCondition["holds"]): void =>
    add(name, (request, path) => (request.isTcp === true ? wide : holds(request, path)));

  const { methods, notMethods, paths, notPaths, ports, notPorts, headers, notHeaders, grpc, notGrpc, when } = rule;
  if (methods !== undefined) addHttp("methods", hasMethod(methods));
  if (notMethods !== undefined) addHttp("notMethods", not(hasMethod(notMethods)));
  if (paths !== undefined) addHttp("paths", hasPath(paths, wide));
  if (notPaths !== undefined) addHttp("notPaths", not(hasPath(notPaths, !wide)));
  if (grpc !== undefined) addHttp("grpc", callsGrpc(grpc, wide));
  if (notGrpc !== undefined) addHttp("notGrpc", not(callsGrpc(notGrpc, !wide)));
  if (ports !== undefined) add("ports", ({ port }) => ports.includes(port));
  if (notPorts !== undefined) add("notPorts", ({ port }) => !notPorts.includes(port));
  for (const [name, match] of Object.entries(headers ?? {})) addHttp("headers", hasHeader(name, match, wide));
  if (notHeaders !== undefined) {
    // One of them is enough to be left out.
    const any = Object.entries(notHeaders).map(([name, match]) => hasHeader(name, match, !wide));
    addHttp("notHeaders", (request, path) => !any.some((holds) => holds(request, path)));
  }
  if (when !== undefined) {
    const holds = compileClaims(when);
    addHttp("when", ({ claims }) => holds(claims));
  }
  return conditions;
}

function not<A extends unknown[]>(holds: (...args: A) => boolean): (...args: A) => boolean {
  return (...args) => !holds(...args);
}

/** Methods are case-sensitive (RFC 9110 §9.1). */
function hasMethod(names: readonly string[]): RequestCondition["holds"] {
  const methods = new Set(names);
  return ({ method }) => methods.has(method);
}

function hasPath(patterns: readonly string[], wide: boolean): RequestCondition["holds"] {
  const matches = compilePaths(patterns, wide);
  return (_, path) => matches(path);
}

/** A gRPC call is `POST /<service>/<method>` (gRPC over HTTP/2, "Requests"). */
function callsGrpc(calls: readonly GrpcMethods[], wide: boolean): RequestCondition["holds"] {
  const patterns = calls.flatMap(({ service, methods = ["*"] }) => methods.map((method) => `/${service}/${method}`));
  const matches = compilePaths(patterns, wide);
  return ({ method }, path) => (wide || method === "POST") && matches(path);
}

/**
 * Of a repeated field all values joined by commas count (RFC 9110 §5.3), so that a repetition hides none of them; widely,
 * each by itself as well, and under every name that an application may take for this one (`x_user` for `x-user`).
 */
function hasHeader(name: string, match: HeaderMatch, wide: boolean): RequestCondition["holds"] {
  const holds = compileValue(match);
  if (!wide) return (request) => holds(valuesOf(request, (other) => other === name));
  const dashed = name.replaceAll("_", "-");
  const isNamed = (other: string): boolean => other === name || other.replaceAll("_", "-") === dashed;
  return (request) => {
    const values = valuesOf(request, isNamed);
    return holds(values) || values.some((value) => holds([value]));
  };
}

function compileValue(match: HeaderMatch): (values: readonly string[]) => boolean {
  if ("present" in match) return (values) => values.length > 0 === match.present;
  const holds = compileText(match);
  return (values) => values.length > 0 && holds(values.length === 1 ? (values[0] ?? "") : values.join(","));
}

function compileText(match: Exclude<HeaderMatch, { present: boolean }>): (value: string) => boolean {
  if ("exact" in match) return (value) => value === match.exact;
  if ("prefix" in match) return (value) => value.startsWith(match.prefix);
  if ("suffix" in match) return (value) => value.endsWith(match.suffix);
  return (value) => value.includes(match.contains);
}

/** `host` is the authority, since codecs take the field itself out. */
function valuesOf({ headers, authority }: AccessRequest, isNamed: (name: string) => boolean): string[] {
  const values: string[] = isNamed("host") ? [authority] : [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (isNamed(headers[at] ?? "")) values.push(headers[at + 1] ?? "");
  }
  return values;
}

/**
 * The path of a target, which is what rules compare. `OPTIONS *` asks about the whole server (RFC 9110 §9.3.7) and has
 * none: it counts as the root, so that what is said of `/*` holds for it.
 */
export function pathOf({ target }: AccessRequest): string {
  return target === "*" ? "/" : target.slice(0, pathEnd(target));
}
