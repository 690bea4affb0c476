/** The part of a snapshot that says how callers guard and repeat their calls to a service. */

import { z } from "zod";
import { LOAD_BALANCERS, RETRY_CONDITIONS } from "../policy/schema.ts";

export const snapshotRetries = z.strictObject({
  attempts: z.int().min(0),
  perTryTimeoutMs: z.int().min(1).optional(),
  on: z.array(z.enum(RETRY_CONDITIONS)),
  /** For `retriable-status-codes`. */
  statusCodes: z.array(z.int()).optional(),
  /** Absent: the sidecar's own. */
  backoff: z.strictObject({ baseMs: z.int().min(1), maxMs: z.int().min(1) }).optional(),
  budget: z.strictObject({ percent: z.number(), minPerSecond: z.int() }),
});

/** Circuit breaking: what a sidecar has open towards one service at once; absent: no bound but the sidecar's own. */
export const snapshotConnectionPool = z.strictObject({
  maxConnections: z.int().min(1).optional(),
  maxPendingRequests: z.int().min(1).optional(),
  maxRequests: z.int().min(1).optional(),
  maxRetries: z.int().min(1).optional(),
  maxRequestsPerConnection: z.int().min(1).optional(),
  connectTimeoutMs: z.int().min(1).optional(),
  idleTimeoutMs: z.int().min(1).optional(),
});

/** Passive health: an endpoint that fails this often in a row is left out for a while. */
export const snapshotOutlierDetection = z.strictObject({
  consecutive5xx: z.int().min(1),
  consecutiveGatewayErrors: z.int().min(1).optional(),
  consecutiveLocalOriginFailures: z.int().min(1).optional(),
  successRate: z
    .strictObject({ stdevFactor: z.number(), minimumHosts: z.int().min(1), requestVolume: z.int().min(1) })
    .optional(),
  failurePercentage: z
    .strictObject({ threshold: z.number(), minimumHosts: z.int().min(1), requestVolume: z.int().min(1) })
    .optional(),
  intervalMs: z.int().min(1),
  baseEjectionTimeMs: z.int().min(1),
  /** Absent: five minutes. */
  maxEjectionTimeMs: z.int().min(1).optional(),
  maxEjectionPercent: z.number().min(0).max(100),
  /** Absent: 0, so that all are used only where none is well. */
  panicThreshold: z.number().min(0).max(100).optional(),
});

/** How each sidecar asks its own application. */
export const snapshotHealthCheck = z.strictObject({
  check: z.union([
    z.strictObject({ kind: z.enum(["tcp", "grpc"]) }),
    z.strictObject({ kind: z.literal("http"), path: z.string() }),
  ]),
  intervalMs: z.int().min(1),
  timeoutMs: z.int().min(1),
  unhealthyThreshold: z.int().min(1),
  healthyThreshold: z.int().min(1),
});

export const snapshotLoadBalancer = z.enum(LOAD_BALANCERS);

/** What the requests that belong together have in common. */
export const snapshotHashKey = z.union([
  z.strictObject({ header: z.string() }),
  z.strictObject({ cookie: z.string() }),
  z.strictObject({ source: z.literal(true) }),
]);

/** What there is to say of balancing beside its algorithm. */
export const snapshotBalancing = z.strictObject({
  hash: snapshotHashKey.optional(),
  slowStartMs: z.int().min(1).optional(),
  /** Absent: near endpoints are preferred. */
  locality: z.enum(["prefer", "ignore"]).optional(),
  /** `namespace/name`. */
  failover: z.string().optional(),
});

export type SnapshotRetries = z.infer<typeof snapshotRetries>;
export type SnapshotConnectionPool = z.infer<typeof snapshotConnectionPool>;
export type SnapshotOutlierDetection = z.infer<typeof snapshotOutlierDetection>;
export type SnapshotBalancing = z.infer<typeof snapshotBalancing>;
export type SnapshotHealthCheck = z.infer<typeof snapshotHealthCheck>;
