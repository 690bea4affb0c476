/** How much a service takes on. */

import { z } from "zod";
import { requestMatch } from "./match.ts";
import { dnsLabel, duration, headerName, positiveInteger } from "./primitives.ts";

/** What each have a bucket of their own: callers, paths, values of a header, or of a claim of the end user's token. */
const bucketKey = z.union(
  [
    z.enum(["source", "path"]),
    z.strictObject({ header: headerName }),
    z.strictObject({ claim: z.string().min(1).max(256) }),
  ],
  { error: "must be one of source, path, { header: name } or { claim: name }" },
);

const rateLimitRule = z.strictObject({
  match: z.array(requestMatch).min(1).max(64).optional(),
  requests: positiveInteger,
  per: duration,
  burst: z.int().min(0).max(1_000_000_000).optional(),
  by: z
    .union([bucketKey, z.array(bucketKey).min(1).max(4)], {
      error: "must be source, path, { header: name }, { claim: name }, or a list of these",
    })
    .optional(),
  /** `mesh`: all instances together; `local`, the default: each by itself. */
  scope: z.enum(["local", "mesh"]).optional(),
});

export const rateLimitSpec = z.strictObject({ service: dnsLabel, rules: z.array(rateLimitRule).min(1).max(256) });

export type RateLimitSpec = z.infer<typeof rateLimitSpec>;
