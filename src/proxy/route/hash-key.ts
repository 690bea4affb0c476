/** What the requests that belong together have in common, for consistent hashing. */

import type { SnapshotBalancing } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";
import { headerValue } from "../headers.ts";
import { cookieValue } from "./request-fields.ts";

/** Undefined where the request lacks it or it is empty. `peer`: the caller's address, without a port. */
export function hashKey(
  by: NonNullable<SnapshotBalancing["hash"]>,
  headers: HeaderList,
  peer: string | undefined,
): string | undefined {
  if ("source" in by) return peer;
  const key = "header" in by ? headerValue(headers, by.header) : cookieValue(headers, by.cookie);
  return key === "" ? undefined : key;
}
