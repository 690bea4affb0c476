/** What keeps a request with the others of its kind, and the cookie that says so from then on where it has none. */

import type { SnapshotRouteRule } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";
import { hashKey } from "./hash-key.ts";

type Sticky = NonNullable<SnapshotRouteRule["sticky"]>;

export interface StickyKey {
  readonly key: string | undefined;
  /** The value of `set-cookie`, where the mesh issues the key with the response. */
  readonly setCookie: string | undefined;
}

/** Of a key that the mesh issues, in hexadecimal digits: it tells users apart, and opens no door. */
const KEY_DIGITS = 16;

/** @param peer the caller's address, without a port. */
export function stickyKey(
  sticky: Sticky,
  headers: HeaderList,
  peer: string | undefined,
  random: () => number,
): StickyKey {
  const key = hashKey(sticky, headers, peer);
  if (key !== undefined || !("issue" in sticky)) return { key, setCookie: undefined };
  const { cookie, issue } = sticky;
  const issued = Array.from({ length: KEY_DIGITS }, () => Math.floor(random() * 16).toString(16)).join("");
  const age = issue.maxAgeS === undefined ? "" : `; Max-Age=${issue.maxAgeS}`;
  const secure = issue.secure ? "; Secure" : "";
  // RFC 6265 §4.1. No script needs it, and other sites' requests go without it.
  return { key: issued, setCookie: `${cookie}=${issued}; Path=${issue.path}${age}; HttpOnly; SameSite=Lax${secure}` };
}

/** What is done to the head of a response that also issues the key. */
export function issuing(setCookie: string, change: ((headers: HeaderList) => void) | undefined) {
  return (headers: HeaderList): void => {
    change?.(headers);
    headers.push("set-cookie", setCookie);
  };
}
