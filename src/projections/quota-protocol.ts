/**
 * How the instances of a service share a rate limit of the whole mesh: each asks control for tokens ahead of need, on
 * `heddle.quota.<namespace>.<service>`, and spends them by itself. Either side may be of a later version than the other:
 * fields that it does not know are left out (docs/decisions/0021-reading-other-versions.md).
 */

import { z } from "zod";

/** Buckets that one request may ask for; the rest waits for the next. */
export const LEASES_PER_REQUEST_MAX = 256;

export const quotaRequest = z.object({
  leases: z
    .array(
      z.object({
        /** Name of the RateLimit document, and index of the rule in it. */
        document: z.string().max(63),
        rule: z.int().min(0).max(255),
        /** Which one is meant, by what it says: others may have come before it by now. Absent: the one at that index. */
        limit: z.string().max(32).optional(),
        /** Which of the rule's buckets; empty where it has only one. */
        bucket: z.string().max(256),
        /** Tokens that were spent before they were granted. */
        owed: z.int().min(0).max(1_000_000_000),
        /** Tokens wanted beside those. */
        wanted: z.int().min(0).max(1_000_000_000),
      }),
    )
    .max(LEASES_PER_REQUEST_MAX),
});

/** In the order of the request. */
export const quotaReply = z.object({
  grants: z
    .array(
      z.object({
        granted: z.int().min(0),
        /** Until there is more, where less was granted than wanted. Milliseconds. */
        retryAfterMs: z.number().min(0),
      }),
    )
    .max(LEASES_PER_REQUEST_MAX),
});

export type QuotaRequest = z.infer<typeof quotaRequest>;
export type QuotaReply = z.infer<typeof quotaReply>;
