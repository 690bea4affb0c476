/** Where the calls of a service go, and how often and how long they are tried. */

import { z } from "zod";
import { requestMatch } from "./match.ts";
import { dnsLabel, duration, percent } from "./primitives.ts";

/** Conditions under which an attempt is repeated; Envoy's names. */
export const RETRY_CONDITIONS = [
  "5xx",
  "gateway-error",
  "connect-failure",
  "reset",
  "retriable-4xx",
  "refused-stream",
] as const;

const backend = z.strictObject({
  subset: dnsLabel.optional(),
  weight: z.int().min(0).max(1_000_000).optional(),
});

export const routeRule = z.strictObject({
  match: z.array(requestMatch).min(1).max(64).optional(),
  backends: z.array(backend).min(1).max(64).optional(),
  timeout: duration.optional(),
  retries: z
    .strictObject({
      attempts: z.int().min(0).max(10),
      perTryTimeout: duration.optional(),
      on: z.array(z.enum(RETRY_CONDITIONS)).min(1).optional(),
      budget: z.strictObject({ percent, minPerSecond: z.int().min(0).max(1_000_000) }).optional(),
    })
    .optional(),
});

export const routeSpec = z.strictObject({ service: dnsLabel, rules: z.array(routeRule).min(1).max(1024) });

export type RouteSpec = z.infer<typeof routeSpec>;
export type RouteRule = z.infer<typeof routeRule>;
export type RetryCondition = (typeof RETRY_CONDITIONS)[number];
