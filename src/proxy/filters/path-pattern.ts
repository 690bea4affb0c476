/**
 * Paths of access rules: exact, a prefix that ends in `*`, or with wildcards inside, such as `/users/{id}/orders`.
 * Compiled once; a match takes time linear in the length of the path, whatever a caller sends.
 *
 * Every pattern has two readings. The narrow one takes the normalised path at its word: for what a rule opens. The wide
 * one also holds for every path that a lenient application could take for a matching one: for what a rule closes.
 */

import { looseReading, normalisePattern, withoutParameters } from "../route/path.ts";
import { compileGlob, TEMPLATE } from "./path-glob.ts";

/** Takes a normalised path without its query. */
export type PathPredicate = (path: string) => boolean;

/** True where any of the patterns matches. */
export function compilePaths(patterns: readonly string[], wide: boolean): PathPredicate {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  const globs: PathPredicate[] = [];
  for (const pattern of patterns) {
    const kind = kindOf(pattern);
    const text = kind === "prefix" ? pattern.slice(0, -1) : pattern;
    for (const read of wide ? WIDE_READINGS : NARROW_READINGS) {
      if (kind === "glob") globs.push(compileGlob(text, read));
      else if (kind === "prefix") prefixes.push(read(text));
      else exact.add(read(text));
    }
  }
  const matches: PathPredicate = (path) =>
    exact.has(path) || prefixes.some((prefix) => path.startsWith(prefix)) || globs.some((glob) => glob(path));
  if (!wide) return matches;
  return (path) => {
    if (matches(path)) return true;
    if (!LENIENT.test(path)) return false;
    const loose = looseReading(path);
    return matches(loose) || matches(withoutParameters(loose));
  };
}

type Reading = (literal: string) => string;

const NARROW_READINGS: readonly Reading[] = [normalisePattern];
const WIDE_READINGS: readonly Reading[] = [normalisePattern, (literal) => looseReading(normalisePattern(literal))];

/** What an application could read in more than one way: escapes and path parameters. */
const LENIENT = /[%;]/;

function kindOf(pattern: string): "exact" | "prefix" | "glob" {
  const isPrefix = pattern.endsWith("*") && !pattern.endsWith("/**");
  const body = isPrefix ? pattern.slice(0, -1) : pattern;
  if (body.includes("*") || body.split("/").some((segment) => TEMPLATE.test(segment))) return "glob";
  return isPrefix ? "prefix" : "exact";
}
