/** What the requests that belong together have in common, for consistent hashing. */

import type { SnapshotBalancing } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";

/** Undefined where the request does not have it. `peer`: the caller's address, without a port. */
export function hashKey(
  by: NonNullable<SnapshotBalancing["hash"]>,
  headers: HeaderList,
  peer: string | undefined,
): string | undefined {
  if ("source" in by) return peer;
  return "header" in by ? fieldValue(headers, by.header) : cookieValue(headers, by.cookie);
}

function fieldValue(headers: HeaderList, name: string): string | undefined {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return headers[at + 1];
  return undefined;
}

/** RFC 6265 §4.2.1; HTTP/2 may spread cookies over several fields (RFC 9113 §8.2.3). */
function cookieValue(headers: HeaderList, name: string): string | undefined {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] !== "cookie") continue;
    for (const pair of (headers[at + 1] ?? "").split(";")) {
      const equals = pair.indexOf("=");
      if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
    }
  }
  return undefined;
}
