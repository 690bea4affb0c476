/** Request targets and authorities (RFC 9112 §3.2, RFC 3986 §3.2). */

import type { StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import { isTargetText } from "./grammar.ts";

/** What a request line says about where it wants to go. `authority` is undefined where only `Host` says it. */
export interface RequestTarget {
  readonly path: string;
  readonly authority: string | undefined;
  /** Undefined where the target does not say. */
  readonly scheme: string | undefined;
}

/** What practically every request has: already lower-case. The port is checked apart. */
const PLAIN_AUTHORITY = /^[0-9a-z._~-]{1,255}(?::[0-9]{1,5})?$/;
/**
 * RFC 3986 also allows percent-encoding and `!$&'()*+,;=` in a registered name. No host name has them, and they read
 * differently elsewhere, so a name on which access is decided must not hold them.
 */
const AUTHORITY = /^(?:[0-9A-Za-z._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/;
const ABSOLUTE_FORM = /^(https?):\/\/([^/?]*)(.*)$/i;

/** Validates `host [":" port]` and lower-cases it; undefined when it is malformed (user information included). */
export function parseAuthority(text: string): string | undefined {
  const plain = PLAIN_AUTHORITY.test(text);
  if (!plain && !AUTHORITY.test(text)) return undefined;
  const portAt = text.lastIndexOf(":") + 1;
  // The colons within the brackets of an IPv6 address are none before a port.
  if (portAt > 0 && portAt > text.lastIndexOf("]")) {
    const port = Number(text.slice(portAt));
    if (port < 1 || port > 65_535) return undefined;
  }
  return plain ? text : text.toLowerCase();
}

/**
 * Splits a request target by its form. The path is checked for bytes that cannot stand there, and is otherwise as it
 * was received: the route stage normalises it, once, for routing and authorization alike.
 */
export function parseTarget(method: string, text: string): RequestTarget | StreamFault {
  if (!isTargetText(text)) return FAULTS.target;
  if (method === "CONNECT") {
    const authority = parseAuthority(text);
    if (authority === undefined || !/:[0-9]+$/.test(authority)) return FAULTS.target;
    return { path: "", authority, scheme: undefined };
  }
  if (text === "*" && method === "OPTIONS") return { path: "*", authority: undefined, scheme: undefined };
  const parts = ABSOLUTE_FORM.exec(text);
  if (parts === null) return FAULTS.target;
  const [, scheme = "", host = "", rest = ""] = parts;
  const authority = parseAuthority(host);
  if (authority === undefined) return FAULTS.target;
  return { path: absolutePath(method, rest), authority, scheme: scheme.toLowerCase() };
}

/** RFC 9112 §3.2.1 and §3.2.4: an absent path is `/`, but for OPTIONS, where it stands for the server as a whole. */
function absolutePath(method: string, rest: string): string {
  if (rest === "") return method === "OPTIONS" ? "*" : "/";
  return rest.startsWith("?") ? `/${rest}` : rest;
}
