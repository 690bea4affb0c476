/** New paths and hosts for requests, and redirects to them. */

import type { SnapshotRouteRule } from "../../projections/snapshot.ts";
import { normalisePath, normalisePattern, pathEnd } from "./path.ts";

/** Takes and returns a normalised target with its query. */
export type RewriteTarget = (target: string) => string;

export interface Rewrite {
  /** The authority to send; undefined: that of the request. */
  readonly host: string | undefined;
  readonly target: RewriteTarget;
}

/** What a redirect needs to know of a request. */
export interface RedirectedRequest {
  readonly scheme: string;
  readonly authority: string;
}

/** The status and `location` of a redirect (RFC 9110 §15.4). */
export interface Redirect {
  readonly status: number;
  location(request: RedirectedRequest, target: string): string;
}

const FOUND = 302;

/** Undefined where the rule rewrites nothing. */
export function compileRewrite({ rewrite, match }: SnapshotRouteRule): Rewrite | undefined {
  if (rewrite === undefined) return undefined;
  return { host: rewrite.host, target: compileTarget(rewrite, match) };
}

/** Undefined where the rule redirects nothing. */
export function compileRedirect({ redirect, match }: SnapshotRouteRule): Redirect | undefined {
  if (redirect === undefined) return undefined;
  const { scheme, host, status = FOUND } = redirect;
  const newTarget = compileTarget(redirect, match);
  return {
    status,
    location: (request, target) => {
      // A port is of a scheme, and another scheme has another: its own, unless policy names one.
      const isOther = scheme !== undefined && scheme !== request.scheme;
      const same = isOther ? request.authority.replace(/:\d+$/, "") : request.authority;
      return `${scheme ?? request.scheme}://${host ?? same}${newTarget(target)}`;
    },
  };
}

interface PathChange {
  readonly path?: string | undefined;
  readonly prefix?: string | undefined;
}

function compileTarget({ path, prefix }: PathChange, match: SnapshotRouteRule["match"]): RewriteTarget {
  if (path !== undefined) {
    const whole = normalised(path);
    return (target) => whole + target.slice(pathEnd(target));
  }
  if (prefix === undefined) return (target) => target;
  const replacement = withoutSlash(normalised(prefix));
  // The rule matched by one of these.
  const prefixes = match.flatMap((one) =>
    one.path !== undefined && "prefix" in one.path ? [withoutSlash(normalisePattern(one.path.prefix))] : [],
  );
  return (target) => {
    const end = pathEnd(target);
    const matched = prefixes.find(
      (one) => target.startsWith(one) && (end === one.length || target[one.length] === "/"),
    );
    if (matched === undefined) return target;
    const rewritten = replacement + target.slice(matched.length, end);
    return (rewritten === "" ? "/" : rewritten) + target.slice(end);
  };
}

/** Rules are read and applied in one form; what policy writes in another takes it here. */
function normalised(path: string): string {
  const escaped = normalisePattern(path).replaceAll("?", "%3F");
  const result = normalisePath(escaped);
  return result.ok ? result.value : escaped;
}

function withoutSlash(path: string): string {
  return path.replace(/\/+$/, "");
}
