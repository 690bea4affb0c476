/** The parts of a request that rules compare by name. */

import type { HeaderList } from "../codec/message.ts";

/**
 * The value of a field; of a repeated one all values joined by commas (RFC 9110 §5.3), so that a repetition cannot
 * hide one of them.
 */
export function fieldValue(headers: HeaderList, name: string): string | undefined {
  let joined: string | undefined;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (headers[at] !== name) continue;
    const value = headers[at + 1] ?? "";
    joined = joined === undefined ? value : `${joined},${value}`;
  }
  return joined;
}

/**
 * A parameter of the query, decoded as forms are (`+` is a space); of a repeated one the first. `end`: where the path of
 * the target ends.
 */
export function queryValue(target: string, end: number, name: string): string | undefined {
  if (end >= target.length) return undefined;
  return new URLSearchParams(target.slice(end + 1)).get(name) ?? undefined;
}

/**
 * RFC 6265 §4.2.1, without the quotes that may stand around it; of a repeated one the first. HTTP/2 may spread cookies over
 * several fields (RFC 9113 §8.2.3).
 */
export function cookieValue(headers: HeaderList, name: string): string | undefined {
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (headers[at] !== "cookie") continue;
    for (const pair of (headers[at + 1] ?? "").split(";")) {
      const equals = pair.indexOf("=");
      if (equals > 0 && pair.slice(0, equals).trim() === name) return unquoted(pair.slice(equals + 1).trim());
    }
  }
  return undefined;
}

function unquoted(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}
