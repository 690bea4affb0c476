/** Which of a rule's buckets a request belongs to. */

import type { SnapshotRateLimit } from "../../projections/snapshot.ts";
import type { MatchableRequest } from "../route/match.ts";
import { fieldValue } from "../route/request-fields.ts";
import type { Claims } from "./claims.ts";
import { claimTexts } from "./claims.ts";

/** Who asks, as far as it was verified. */
export interface LimitedCaller {
  /** `namespace/name`; undefined: unauthenticated. */
  readonly caller: string | undefined;
  /** Of the end user's token; undefined: it has none. */
  readonly claims?: Claims | undefined;
}

export type BucketNamer = (request: MatchableRequest, path: string, who: LimitedCaller) => string;

/** A name that is longer stands for itself by its hash. */
const NAME_LENGTH_MAX = 200;

/** Undefined where all requests share one bucket. */
export function compileBucketName({ bySource, by = [] }: SnapshotRateLimit): BucketNamer | undefined {
  const parts: BucketNamer[] = by.map((key) => {
    if (key === "path") return (_request, path) => path;
    if ("header" in key) return ({ headers }) => fieldValue(headers, key.header) ?? "";
    return (_request, _path, { claims }) => (claims === undefined ? "" : claimTexts(claims, [key.claim]).join(" "));
  });
  if (bySource) parts.unshift((_request, _path, { caller }) => caller ?? "");
  const [only] = parts;
  if (only === undefined) return undefined;
  if (parts.length === 1) return (request, path, who) => bounded(only(request, path, who));
  return (request, path, who) => bounded(JSON.stringify(parts.map((part) => part(request, path, who))));
}

function bounded(name: string): string {
  return name.length <= NAME_LENGTH_MAX ? name : Bun.SHA256.hash(name, "hex");
}
