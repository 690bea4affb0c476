/** How callers choose among the instances of a service. */

import { z } from "zod";
import { dnsLabel, duration, headerName } from "./primitives.ts";

/** Envoy's names, and that of Finagle and Linkerd for the default. */
export const LOAD_BALANCERS = ["peak-ewma", "least-request", "round-robin", "random", "ring-hash", "maglev"] as const;

/** Takes in both load and latency, and needs no tuning: slow instances get less by themselves. */
export const DEFAULT_LOAD_BALANCER = "peak-ewma" satisfies (typeof LOAD_BALANCERS)[number];

/** What the requests that belong together have in common. */
export const hashKey = z.union(
  [
    z.strictObject({ header: headerName }),
    z.strictObject({ cookie: z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/, "must be a cookie's name") }),
    z.strictObject({ source: z.literal(true) }),
  ],
  { error: "must be one of { header: name }, { cookie: name } or { source: true }" },
);

/** Of the same namespace, or `namespace/name`. */
export const otherService = z.union(
  [
    dnsLabel,
    z
      .string()
      .regex(/^[^/]+\/[^/]+$/)
      .refine((text) => text.split("/").every((part) => dnsLabel.safeParse(part).success)),
  ],
  { error: "must be a service, such as catalog-backup or other-namespace/catalog" },
);

export const loadBalancer = z
  .strictObject({
    algorithm: z.enum(LOAD_BALANCERS).optional(),
    hash: hashKey.optional(),
    /** A new instance gets its full share only after this time. */
    slowStart: duration.optional(),
    /** `prefer`: near instances first, as long as they are well; the default. */
    locality: z.enum(["prefer", "ignore"]).optional(),
    /** Where calls go while no instance is well. */
    failover: otherService.optional(),
  })
  .refine(({ algorithm, hash }) => (algorithm === "ring-hash" || algorithm === "maglev") === (hash !== undefined), {
    error: "must have a hash exactly where its algorithm is ring-hash or maglev",
  });
