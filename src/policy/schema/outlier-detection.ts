/** When an instance that fails is left out of balancing, and for how long; Envoy's outlier detection. */

import { z } from "zod";
import { duration, percent, positiveInteger } from "./primitives.ts";

export const outlierDetection = z.strictObject({
  consecutive5xx: positiveInteger.optional(),
  /** 502, 503 and 504, and no response at all. */
  consecutiveGatewayErrors: positiveInteger.optional(),
  /** No connection, a reset, or a timeout: what the caller's own sidecar saw. */
  consecutiveLocalOriginFailures: positiveInteger.optional(),
  /** Instances that succeed clearly less often than the others. */
  successRate: z
    .strictObject({
      stdevFactor: z.number().min(0).max(10).optional(),
      minimumHosts: positiveInteger.optional(),
      requestVolume: positiveInteger.optional(),
    })
    .optional(),
  /** Instances that fail this share of their requests. */
  failurePercentage: z
    .strictObject({
      threshold: percent,
      minimumHosts: positiveInteger.optional(),
      requestVolume: positiveInteger.optional(),
    })
    .optional(),
  interval: duration.optional(),
  baseEjectionTime: duration.optional(),
  maxEjectionTime: duration.optional(),
  maxEjectionPercent: percent.optional(),
  /** With fewer instances well than this, all are used. */
  panicThreshold: percent.optional(),
});
