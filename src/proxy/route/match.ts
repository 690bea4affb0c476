/** Conditions on a request, compiled once: what a route rule and a rate limit both ask. */

import type { SnapshotMatcher, SnapshotRouteMatcher, StringMatch } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";
import { compileGlob } from "../filters/path-glob.ts";
import { compilePaths } from "../filters/path-pattern.ts";
import { portIn, portOf, type ServicePort } from "../service-port.ts";
import { parseAuthority } from "./host.ts";
import { normalisePattern } from "./path.ts";
import { compileRegex } from "./regex.ts";
import { cookieValue, fieldValue, queryValue } from "./request-fields.ts";
import { compileText } from "./text-match.ts";

/** What conditions look at; `RequestHead` satisfies it. */
export interface MatchableRequest {
  readonly method: string;
  readonly authority: string;
  readonly headers: HeaderList;
  /** That of the service which the connection was made to; absent: only the authority may name one. */
  readonly connectedPort?: number | undefined;
}

/** `target` is the normalised path with its query, `end` where the query begins (see `pathEnd`). */
export type RequestMatcher = (request: MatchableRequest, target: string, end: number) => boolean;

/**
 * True when any of the alternatives holds; an empty list holds for every request. Who calls is not asked: see
 * `ownAlternatives`.
 * @param servicePorts those of the called service, where alternatives may ask for one.
 */
export function compileMatch(
  alternatives: readonly SnapshotRouteMatcher[],
  servicePorts: readonly ServicePort[] = [],
): RequestMatcher {
  const compiled = alternatives.map((alternative) => compileAlternative(alternative, servicePorts));
  const [first, ...others] = compiled;
  if (first === undefined) return () => true;
  if (others.length === 0) return first;
  return (request, target, end) => compiled.some((matches) => matches(request, target, end));
}

/** All fields of one alternative hold together; what costs least is asked first. */
function compileAlternative(matcher: SnapshotRouteMatcher, servicePorts: readonly ServicePort[]): RequestMatcher {
  const { methods, ports, path, headers = {}, cookies = {}, query = {}, grpc } = matcher;
  const conditions: RequestMatcher[] = [];
  if (methods !== undefined) conditions.push(compileMethods(methods));
  if (ports !== undefined) conditions.push(compilePorts(ports, servicePorts));
  if (path !== undefined) conditions.push(compilePath(path));
  if (grpc !== undefined) conditions.push(compileGrpc(grpc));
  for (const [name, value] of Object.entries(headers)) conditions.push(compileHeader(name.toLowerCase(), value));
  for (const [name, value] of Object.entries(cookies)) {
    const holds = compileText(value);
    conditions.push((request) => holds(cookieValue(request.headers, name)));
  }
  for (const [name, value] of Object.entries(query)) {
    const holds = compileText(value);
    conditions.push((_, target, end) => holds(queryValue(target, end, name)));
  }
  const [first, ...others] = conditions;
  if (first === undefined) return () => true;
  if (others.length === 0) return first;
  return (request, target, end) => {
    for (const holds of conditions) if (!holds(request, target, end)) return false;
    return true;
  };
}

function compileMethods(names: readonly string[]): RequestMatcher {
  const methods = new Set(names);
  return (request) => methods.has(request.method);
}

/** The port that the call is for, as it will be made. */
function compilePorts(wanted: readonly number[], servicePorts: readonly ServicePort[]): RequestMatcher {
  return ({ method, authority, connectedPort }) =>
    wanted.includes(portOf(servicePorts, method === "CONNECT", portIn(authority), connectedPort).port);
}

const SLASH = 0x2f;

/**
 * Prefixes match whole segments, as in Gateway API: `/charge` (or `/charge/`) matches `/charge` and `/charge/x`, not
 * `/charges`. Expressions and templates are held against the path without its query.
 */
function compilePath(path: NonNullable<SnapshotMatcher["path"]>): RequestMatcher {
  if ("exact" in path) {
    const exact = normalisePattern(path.exact);
    return (_, target, end) => end === exact.length && target.startsWith(exact);
  }
  if ("regex" in path) return onPath(compileRegex(path.regex));
  if ("template" in path) return onPath(compileGlob(path.template, normalisePattern));
  const prefix = normalisePattern(path.prefix).replace(/\/+$/, "");
  const { length } = prefix;
  // Everything, `OPTIONS *` included, which has no path.
  if (length === 0) return () => true;
  return (_, target, end) =>
    end >= length && target.startsWith(prefix) && (end === length || target.charCodeAt(length) === SLASH);
}

function onPath(matches: (path: string) => boolean): RequestMatcher {
  return (_, target, end) => matches(end === target.length ? target : target.slice(0, end));
}

/** A gRPC call is `POST /<service>/<method>` (gRPC over HTTP/2, "Requests"). */
function compileGrpc(calls: NonNullable<SnapshotMatcher["grpc"]>): RequestMatcher {
  const patterns = calls.flatMap(({ service, methods = ["*"] }) => methods.map((method) => `/${service}/${method}`));
  const matches = onPath(compilePaths(patterns, false));
  return (request, target, end) => request.method === "POST" && matches(request, target, end);
}

function compileHeader(name: string, value: StringMatch): RequestMatcher {
  if (name === "host") return compileHost(value);
  const holds = compileText(value);
  return (request) => holds(fieldValue(request.headers, name));
}

/**
 * `host` is the authority, since codecs take the field itself out: as it came, or as the name of the host alone, since
 * clients write the port of a name and its last dot, or not, without meaning another host.
 */
function compileHost(value: StringMatch): RequestMatcher {
  const isNot = "not" in value;
  const holds = compileText(isNot ? value.not : value);
  return ({ authority }) => (holds(authority) || holds(parseAuthority(authority)?.host ?? authority)) !== isNot;
}

/** What a sidecar knows of its own calls before there is one. */
export interface CallingInstance {
  readonly namespace: string;
  readonly name: string;
  /** Absent: none are known. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * The alternatives of a route that this instance's calls can meet: who calls is settled when policy is compiled, so that
 * no request is asked. Undefined where there are none, so that the rule is for others.
 */
export function ownAlternatives(
  alternatives: readonly SnapshotRouteMatcher[],
  { namespace, name, labels = {} }: CallingInstance,
): readonly SnapshotRouteMatcher[] | undefined {
  if (alternatives.length === 0) return alternatives;
  const names = ["*", `${namespace}/*`, `${namespace}/${name}`];
  const own = alternatives.filter(
    ({ from, fromLabels = {} }) =>
      (from === undefined || from.some((pattern) => names.includes(pattern))) &&
      Object.entries(fromLabels).every(([label, value]) => Object.hasOwn(labels, label) && labels[label] === value),
  );
  return own.length === 0 ? undefined : own;
}
