/** A service: its ports, its subsets, and how callers spread and guard their calls to it. */

import { z } from "zod";
import { external } from "./external.ts";
import { healthCheck } from "./health-check.ts";
import { jwtSpec } from "./jwt.ts";
import { loadBalancer } from "./load-balancer.ts";
import { mtlsMode } from "./mtls.ts";
import { outlierDetection } from "./outlier-detection.ts";
import { certificateTtl, dnsLabel, duration, positiveInteger } from "./primitives.ts";

const servicePort = z.strictObject({
  port: z.int().min(1).max(65_535),
  protocol: z.enum(["http", "http2", "grpc", "tcp"]),
  /** Absent: as the service says. */
  mtls: mtlsMode.optional(),
});

export const serviceSpec = z.strictObject({
  ports: z.array(servicePort).min(1).max(64),
  subsets: z.record(dnsLabel, z.record(z.string().min(1).max(63), z.string().max(253))).optional(),
  loadBalancer: loadBalancer.optional(),
  connectionPool: z
    .strictObject({
      maxConnections: positiveInteger.optional(),
      maxPendingRequests: positiveInteger.optional(),
      maxRequests: positiveInteger.optional(),
      maxRetries: positiveInteger.optional(),
      maxRequestsPerConnection: positiveInteger.optional(),
      /** TCP and TLS handshake. */
      connectTimeout: duration.optional(),
      /** A connection that carries no request. */
      idleTimeout: duration.optional(),
    })
    .optional(),
  outlierDetection: outlierDetection.optional(),
  healthCheck: healthCheck.optional(),
  /** How long its certificates live; from the next one on. */
  certificateTtl: certificateTtl.optional(),
  /** Absent: as the namespace or the mesh says. */
  mtls: mtlsMode.optional(),
  jwt: jwtSpec.optional(),
  /** It is another mesh's. Absent: one of ours, wherever its instances announce themselves. */
  external: external.optional(),
});

export type ServiceSpec = z.infer<typeof serviceSpec>;
