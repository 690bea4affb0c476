/** Where the calls of a service go, and how often and how long they are tried. */

import { z } from "zod";
import { routeMatch } from "./match.ts";
import { dnsLabel, duration } from "./primitives.ts";
import { retries } from "./retries.ts";

const backend = z.strictObject({
  subset: dnsLabel.optional(),
  weight: z.int().min(0).max(1_000_000).optional(),
});

export const routeRule = z.strictObject({
  match: z.array(routeMatch).min(1).max(64).optional(),
  backends: z.array(backend).min(1).max(64).optional(),
  timeout: duration.optional(),
  /** How long a request may go on without a byte either way. */
  idleTimeout: duration.optional(),
  retries: retries.optional(),
});

export const routeSpec = z.strictObject({ service: dnsLabel, rules: z.array(routeRule).min(1).max(1024) });

export type RouteSpec = z.infer<typeof routeSpec>;
export type RouteRule = z.infer<typeof routeRule>;
