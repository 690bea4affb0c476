/** Where the calls of a service go, what is done to them on the way, and how often and how long they are tried. */

import { z } from "zod";
import { hashKey, otherService } from "./load-balancer.ts";
import { routeMatch } from "./match.ts";
import { absolutePath, cookieName, dnsLabel, duration, positiveInteger } from "./primitives.ts";
import { retries } from "./retries.ts";
import { cors, fault, headerChanges, mirror, redirect, respond, rewrite } from "./route-filters.ts";

/** RFC 6265 §4.1.1. */
const cookiePath = absolutePath
  .max(1024)
  .regex(/^[\x20-\x3a\x3c-\x7e]*$/, "must hold no semicolon and nothing beyond ASCII");

const backend = z.strictObject({
  /** Another one than the route's own. */
  service: otherService.optional(),
  subset: dnsLabel.optional(),
  weight: z.int().min(0).max(1_000_000).optional(),
  headers: headerChanges.optional(),
});

const stickyKey = z.union(
  [
    ...hashKey.options,
    z.strictObject({
      cookie: cookieName,
      /** Requests without the cookie get one with their response. */
      issue: z.strictObject({
        /** Absent: until the browser ends its session. */
        ttl: duration.optional(),
        path: cookiePath.optional(),
        secure: z.boolean().optional(),
      }),
    }),
  ],
  {
    error:
      "must be one of { header: name }, { cookie: name }, { cookie: name, issue: { ttl: 8h } } or { source: true }",
  },
);

export const routeRule = z
  .strictObject({
    match: z.array(routeMatch).min(1).max(64).optional(),
    backends: z.array(backend).min(1).max(64).optional(),
    /** Requests that have this in common go to the same backend. */
    sticky: stickyKey.optional(),
    timeout: duration.optional(),
    /** How long a request may go on without a byte either way. */
    idleTimeout: duration.optional(),
    retries: retries.optional(),
    headers: headerChanges.optional(),
    rewrite: rewrite.optional(),
    redirect: redirect.optional(),
    respond: respond.optional(),
    cors: cors.optional(),
    /** Larger ones are refused with 413. */
    maxRequestBytes: positiveInteger.optional(),
    mirror: mirror.optional(),
    fault: fault.optional(),
  })
  .refine(
    ({ backends, redirect, respond }) =>
      [backends, redirect, respond].filter((field) => field !== undefined).length <= 1,
    { error: "must have at most one of backends, redirect and respond" },
  )
  .refine(({ match = [], ...rule }) => !replacesPrefix(rule) || (match.length > 0 && match.every(hasPrefix)), {
    error: "must match by path prefix wherever it replaces a prefix",
  });

/** In which order rules are tried; absent: the document's. */
export const routePrecedence = z.literal("gateway-api", {
  error: "must be gateway-api (the most exact rule first), or absent (the document's order)",
});

export const routeSpec = z.strictObject({
  service: dnsLabel,
  precedence: routePrecedence.optional(),
  rules: z.array(routeRule).min(1).max(1024),
});

export type RoutePrecedence = z.infer<typeof routePrecedence>;
export type RouteSpec = z.infer<typeof routeSpec>;
export type RouteRule = z.infer<typeof routeRule>;

interface PathChange {
  readonly prefix?: string | undefined;
}

function replacesPrefix({
  rewrite,
  redirect,
}: {
  rewrite?: PathChange | undefined;
  redirect?: PathChange | undefined;
}) {
  return rewrite?.prefix !== undefined || redirect?.prefix !== undefined;
}

function hasPrefix({ path }: z.infer<typeof routeMatch>): boolean {
  return path !== undefined && "prefix" in path;
}
