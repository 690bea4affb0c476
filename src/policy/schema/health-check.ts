/** How the instances of a service are asked whether they can take traffic. Each is asked by its own sidecar. */

import { z } from "zod";
import { absolutePath, duration } from "./primitives.ts";

const count = z.int().min(1).max(100);

export const healthCheck = z
  .strictObject({
    /** GET of the path is answered with 2xx or 3xx. */
    http: z.strictObject({ path: absolutePath }).optional(),
    /** The standard health service says SERVING. */
    grpc: z.strictObject({}).optional(),
    /** It takes a connection. */
    tcp: z.strictObject({}).optional(),
    interval: duration.optional(),
    timeout: duration.optional(),
    unhealthyThreshold: count.optional(),
    healthyThreshold: count.optional(),
  })
  .refine(({ http, grpc, tcp }) => [http, grpc, tcp].filter((kind) => kind !== undefined).length === 1, {
    error: "must have exactly one of http, grpc and tcp",
  });
