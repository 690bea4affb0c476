/**
 * The one reading of a request target that guard and router share, and that the application gets. Two readings of one
 * path are how access rules are walked around, so whatever could be read in two ways is brought to one form here, or
 * refused.
 *
 * What is done (RFC 3986 §6.2.2): escapes of unreserved characters are decoded, the hexadecimal digits of the others
 * are upper-cased, runs of `/` become one, dot segments are resolved (also when written `%2e`); above the root there is
 * only the root. Merging comes before dot segments, as in nginx and in file systems: `/a//../b` is `/b`.
 *
 * What is kept: an escaped slash (`%2F`, `%5C`) stays what it is, distinct from `/`, because `/projects/a%2Fb` is a
 * common way to put a name with a slash in one segment. Path parameters (`;v=1`) and the query are not touched.
 *
 * What is refused: escapes that are none (`%zz`, `%4`), `%00`, control characters, space, `#`, backslash, raw bytes
 * outside ASCII in the path, and every segment that would become a dot segment if the application decoded it once
 * more or dropped its parameters (`..%2fadmin`, `..;/admin`).
 */

import { err, ok, type Result } from "../../policy/result.ts";

/** Why a path was refused, for `response_code_details`: never holds what the client sent. */
export type PathFault =
  | "path_not_absolute"
  | "path_malformed_escape"
  | "path_nul"
  | "path_invalid_character"
  | "path_ambiguous_dot_segment";

const SLASH = 0x2f;
const DOT = 0x2e;
const PERCENT = 0x25;
const QUESTION = 0x3f;
const HASH = 0x23;
const SEMICOLON = 0x3b;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const DELETE = 0x7f;

/**
 * Normalises path and query of a request target in origin-form; `*` (RFC 9112 §3.2.4) is passed as it is. One scan
 * and the same string back where nothing is to be done, which is nearly always. Idempotent.
 */
export function normalisePath(path: string): Result<string, PathFault> {
  if (path.charCodeAt(0) !== SLASH) return path === "*" ? ok(path) : err("path_not_absolute");
  const length = path.length;
  let previous = 0;
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i);
    if (code === QUESTION) return isCleanQuery(path, i + 1) ? ok(path) : err("path_invalid_character");
    if (!isPathCharacter(code)) return err("path_invalid_character");
    if (code === PERCENT || (code === SLASH && previous === SLASH)) return rewrite(path);
    if (code === DOT && previous === SLASH && mayBeDotSegment(path.charCodeAt(i + 1))) return rewrite(path);
    previous = code;
  }
  return ok(path);
}

/** Index at which the path of a normalised target ends: where its query begins, or its length. */
export function pathEnd(target: string): number {
  const question = target.indexOf("?");
  return question < 0 ? target.length : question;
}

function isPathCharacter(code: number): boolean {
  return code > SPACE && code < DELETE && code !== HASH && code !== BACKSLASH;
}

/** The query is the application's own; only what could end the request line or begin a fragment is refused. */
function isCleanQuery(path: string, from: number): boolean {
  for (let i = from; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code <= SPACE || code === DELETE || code === HASH || code > 0xff) return false;
  }
  return true;
}

/** Whether `/.` followed by this begins what could be a dot segment; NaN is the end of the path. */
function mayBeDotSegment(next: number): boolean {
  return next === DOT || next === SLASH || next === SEMICOLON || next === QUESTION || Number.isNaN(next);
}

/** The slow half of `normalisePath`: takes the path apart and builds it anew. */
function rewrite(target: string): Result<string, PathFault> {
  const end = pathEnd(target);
  const path = target.slice(0, end);
  for (let i = 0; i < path.length; i++) {
    if (!isPathCharacter(path.charCodeAt(i))) return err("path_invalid_character");
  }
  if (end < target.length && !isCleanQuery(target, end + 1)) return err("path_invalid_character");
  const decoded = canonicalEscapes(path);
  if (!decoded.ok) return decoded;
  const resolved = resolveSegments(decoded.value);
  return resolved.ok ? ok(resolved.value + target.slice(end)) : resolved;
}

const UNRESERVED = /^[A-Za-z0-9\-._~]$/;
const ESCAPE = /^%[0-9A-Fa-f]{2}$/;

/** Decodes escapes of unreserved characters and upper-cases the rest (RFC 3986 §6.2.2.1, §6.2.2.2). */
function canonicalEscapes(path: string): Result<string, PathFault> {
  let text = "";
  let from = 0;
  for (let at = path.indexOf("%"); at >= 0; at = path.indexOf("%", from)) {
    const triplet = path.slice(at, at + 3);
    if (!ESCAPE.test(triplet)) return err("path_malformed_escape");
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
    if (character === "\0") return err("path_nul");
    text += path.slice(from, at) + (UNRESERVED.test(character) ? character : triplet.toUpperCase());
    from = at + 3;
  }
  return ok(text + path.slice(from));
}

/** A dot segment once parameters are dropped, or as a part between escaped slashes. */
const HIDDEN_DOT_SEGMENT = /(?:^|%2F|%5C)\.{1,2}(?:;|%3B|%2F|%5C|$)/;

/** Merges slashes and removes dot segments (RFC 3986 §5.2.4). A trailing slash, or one that a dot leaves, stays. */
function resolveSegments(path: string): Result<string, PathFault> {
  const kept: string[] = [];
  let trailingSlash = false;
  for (const segment of path.split("/")) {
    trailingSlash = segment === "" || segment === "." || segment === "..";
    if (segment === "..") kept.pop();
    else if (!trailingSlash) {
      if (HIDDEN_DOT_SEGMENT.test(segment)) return err("path_ambiguous_dot_segment");
      kept.push(segment);
    }
  }
  const joined = `/${kept.join("/")}`;
  return ok(trailingSlash && kept.length > 0 ? `${joined}/` : joined);
}

const OUTSIDE_ASCII = /[^\x21-\x7e]+/g;

/**
 * A path, or the beginning of one, as policy writes it, in the form in which it is compared: what people may write
 * plainly (`/café`, a space) is escaped, escapes take their canonical form. Dot segments are left alone, since
 * resolving them in a prefix could widen it; a pattern that no normalised path can equal simply never matches.
 */
export function normalisePattern(pattern: string): string {
  const ascii = pattern.toWellFormed().replace(OUTSIDE_ASCII, encodeURIComponent);
  const canonical = canonicalEscapes(ascii);
  return canonical.ok ? canonical.value : ascii;
}

/** Every byte's escape decoded, to latin1. */
function decodeOnce(path: string): string {
  return path.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/**
 * The loosest reading that a lenient application may make of a normalised path without its query: all escapes decoded,
 * backslashes taken for slashes, slashes merged. Denials are checked against it as well, so that `/admin%3Areset` does
 * not slip past a rule on `/admin:reset`, nor `/%2Fadmin` past one on `/admin`.
 */
export function looseReading(path: string): string {
  return decodeOnce(path).replaceAll("\\", "/").replace(/\/+/g, "/");
}

/** The path without its parameters (`/admin;v=1` → `/admin`), as servlet containers see it. */
export function withoutParameters(path: string): string {
  return path.replace(/;[^/]*/g, "");
}
