/** Conditions on a request, compiled once: what a route rule and a rate limit both ask. */

import type { SnapshotMatcher } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";
import { normalisePattern } from "./path.ts";

/** What conditions look at; `RequestHead` satisfies it. */
export interface MatchableRequest {
  readonly method: string;
  readonly authority: string;
  readonly headers: HeaderList;
}

/** `target` is the normalised path with its query, `end` where the query begins (see `pathEnd`). */
export type RequestMatcher = (request: MatchableRequest, target: string, end: number) => boolean;

/** True when any of the alternatives holds; an empty list holds for every request. */
export function compileMatch(alternatives: readonly SnapshotMatcher[]): RequestMatcher {
  const compiled = alternatives.map(compileAlternative);
  const [first, ...others] = compiled;
  if (first === undefined) return () => true;
  if (others.length === 0) return first;
  return (request, target, end) => compiled.some((matches) => matches(request, target, end));
}

/** All fields of one alternative hold together. */
function compileAlternative(matcher: SnapshotMatcher): RequestMatcher {
  const conditions: RequestMatcher[] = [];
  if (matcher.methods !== undefined) conditions.push(compileMethods(matcher.methods));
  if (matcher.path !== undefined) conditions.push(compilePath(matcher.path));
  for (const [name, value] of Object.entries(matcher.headers ?? {})) {
    conditions.push(compileHeader(name.toLowerCase(), value));
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

/**
 * Prefixes match whole segments, as in Gateway API: `/charge` (or `/charge/`) matches `/charge` and `/charge/x`, not
 * `/charges`.
 */
function compilePath(path: NonNullable<SnapshotMatcher["path"]>): RequestMatcher {
  if ("exact" in path) {
    const exact = normalisePattern(path.exact);
    return (_, target, end) => end === exact.length && target.startsWith(exact);
  }
  const prefix = normalisePattern(path.prefix).replace(/\/+$/, "");
  const { length } = prefix;
  // Everything, `OPTIONS *` included, which has no path.
  if (length === 0) return () => true;
  return (_, target, end) =>
    end >= length && target.startsWith(prefix) && (end === length || target.charCodeAt(length) === SLASH);
}

const SLASH = 0x2f;

function compileHeader(name: string, value: NonNullable<SnapshotMatcher["headers"]>[string]): RequestMatcher {
  if ("present" in value) {
    const wanted = value.present;
    return (request) => (headerValue(request, name) !== undefined) === wanted;
  }
  if ("exact" in value) {
    const { exact } = value;
    return (request) => headerValue(request, name) === exact;
  }
  const { prefix } = value;
  return (request) => headerValue(request, name)?.startsWith(prefix) ?? false;
}

/**
 * The value of a field; of a repeated one all values joined by commas (RFC 9110 §5.3), so that a repetition cannot
 * hide one of them. `host` is the authority, since codecs take the field itself out.
 */
function headerValue(request: MatchableRequest, name: string): string | undefined {
  if (name === "host") return request.authority;
  const { headers } = request;
  let joined: string | undefined;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] !== name) continue;
    const value = headers[i + 1] ?? "";
    joined = joined === undefined ? value : `${joined},${value}`;
  }
  return joined;
}
