/**
 * Paths that match no request, since sidecars compare normalised paths. Whoever writes `/admin?all=1` into a denial
 * believes that something is forbidden, and it is not.
 */

import type { DocumentPath, Remark } from "./remark.ts";
import type { AccessConditions, RouteRule } from "./schema.ts";

/** Ordered: the first that holds is the one to tell. Requests are normalised by `proxy/route/path.ts`. */
const NEVER_MET: readonly (readonly [form: RegExp, why: string])[] = [
  [/\?/, "paths are compared without their query: what holds a ? meets no request"],
  [/[#\\]/, "no request has a # or a \\ in its path: write %23 or %5C"],
  [/\/\//, "slashes in a row are made one before paths are compared: this meets no request"],
  [/\/\.{1,2}(?:\/|$)/, "dot segments are resolved before paths are compared: this meets no request"],
  [
    /%(?![0-9A-Fa-f]{2})|%00/,
    "holds an escape that no request may have: two hexadecimal digits follow a %, and not 00",
  ],
  [/[\u0000-\u001f\u007f]/, "holds a control character, which meets only requests that escape it: write the escape"],
];

/** @param at where the conditions stand in their document. */
export function checkAccessPaths(conditions: AccessConditions, at: DocumentPath): Remark[] {
  return (["paths", "notPaths"] as const).flatMap((field) =>
    (conditions[field] ?? []).flatMap((pattern, index) => remarksOn(pattern, [...at, field, index])),
  );
}

/** @param at where the matches, of a route or a rate limit, stand in their document. */
export function checkMatchedPaths(matches: Pick<RouteRule, "match">["match"], at: DocumentPath): Remark[] {
  return (matches ?? []).flatMap(({ path }, index) => {
    if (path === undefined || "regex" in path) return [];
    return Object.entries(path).flatMap(([how, pattern]) => remarksOn(pattern, [...at, index, "path", how]));
  });
}

function remarksOn(pattern: string, path: DocumentPath): Remark[] {
  const found = NEVER_MET.find(([form]) => form.test(pattern));
  return found === undefined ? [] : [{ path, message: found[1] }];
}
