/** How much a service takes on. */

import { z } from "zod";
import { requestMatch } from "./match.ts";
import { dnsLabel, duration, positiveInteger } from "./primitives.ts";

const rateLimitRule = z.strictObject({
  match: z.array(requestMatch).min(1).max(64).optional(),
  requests: positiveInteger,
  per: duration,
  burst: z.int().min(0).max(1_000_000_000).optional(),
  by: z.enum(["source"]).optional(),
});

export const rateLimitSpec = z.strictObject({ service: dnsLabel, rules: z.array(rateLimitRule).min(1).max(256) });

export type RateLimitSpec = z.infer<typeof rateLimitSpec>;
