/**
 * Rules of a Route that do not mean what they seem to say, whatever else the mesh holds. All findings but one are
 * warnings: ledgers of earlier versions hold such rules, and they break nothing.
 */

import type { DocumentPath, Remark } from "./remark.ts";
import type { RouteMatch, RouteRule } from "./schema.ts";

/** What is wrong with one rule. @param path where it stands in its document. */
export function checkRouteRule(rule: RouteRule, path: DocumentPath): { errors: Remark[]; warnings: Remark[] } {
  const { redirect, rewrite, respond, cors } = rule;
  const warnings = [
    ...checkNewPath(rewrite, [...path, "rewrite"]),
    ...checkNewPath(redirect, [...path, "redirect"]),
    ...checkLoop(rule, [...path, "redirect"]),
    ...checkContent(respond, [...path, "respond"]),
    ...checkOrigins(cors, [...path, "cors"]),
  ];
  const { scheme, host, path: whole, prefix } = redirect ?? {};
  const isEmpty = redirect !== undefined && [scheme, host, whole, prefix].every((part) => part === undefined);
  const message = "leads back to where it comes from: name scheme, host, path or prefix";
  return { errors: isEmpty ? [{ path: [...path, "redirect"], message }] : [], warnings };
}

interface PathChange {
  readonly path?: string | undefined;
  readonly prefix?: string | undefined;
}

function checkNewPath({ path: whole, prefix }: PathChange = {}, path: DocumentPath): Remark[] {
  const message = "? and # become a part of the path, escaped; the query of the request stays as it is";
  return Object.entries({ path: whole, prefix })
    .filter(([, text]) => text !== undefined && /[?#]/.test(text))
    .map(([kind]) => ({ path: [...path, kind], message }));
}

/** A redirect to the same host which the rule matches again. */
function checkLoop({ match = [{}], redirect }: RouteRule, path: DocumentPath): Remark[] {
  if (redirect === undefined || redirect.host !== undefined || redirect.scheme !== undefined) return [];
  const { path: whole, prefix } = redirect;
  const target = whole ?? prefix;
  if (target === undefined || !match.some((one) => one.methods === undefined && covers(one.path, target))) return [];
  const kind = whole === undefined ? "prefix" : "path";
  return [
    { path: [...path, kind], message: `leads to ${target}, which this rule redirects again: clients go in circles` },
  ];
}

function covers(match: RouteMatch["path"], target: string): boolean {
  if (match === undefined) return true;
  if ("exact" in match) return match.exact === target;
  if (!("prefix" in match)) return false;
  const prefix = match.prefix.replace(/\/+$/, "");
  return target === prefix || target.startsWith(`${prefix}/`);
}

/** RFC 9110 §6.4.1. */
function checkContent(respond: RouteRule["respond"], path: DocumentPath): Remark[] {
  const { status, body = "" } = respond ?? {};
  if (body === "" || (status !== 204 && status !== 304)) return [];
  return [{ path: [...path, "body"], message: `is never sent: responses with ${status} have no content` }];
}

function checkOrigins(cors: RouteRule["cors"], path: DocumentPath): Remark[] {
  if (cors?.credentials !== true || !cors.origins.includes("*")) return [];
  const message = "lets scripts of any site act and read as the user who visits it; name the origins";
  return [{ path: [...path, "origins"], message }];
}
