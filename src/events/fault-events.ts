/** What the ledger says of failures that are made on purpose, for a while, beside what routes say. */

import { z } from "zod";
import { routeMatch, routeRule } from "../policy/schema.ts";

/** How one fault of a service is told from another. */
export const faultId = z.string().regex(/^[a-z0-9]{4,16}$/, "is no name of a fault, such as f3a9c1");

export const injectedFault = z.strictObject({
  id: z.string(),
  /** Absent: every call of the service. */
  match: routeMatch.optional(),
  fault: routeRule.shape.fault.unwrap(),
  /** RFC 3339; absent: it goes on until somebody clears it. */
  expiresAt: z.string().optional(),
});

/** Calls of the service fail, or wait, as it says, whatever their route is. */
export const faultInjected = z.strictObject({
  type: z.literal("FaultInjected"),
  namespace: z.string(),
  service: z.string(),
  ...injectedFault.shape,
});
export const faultCleared = z.strictObject({
  type: z.literal("FaultCleared"),
  namespace: z.string(),
  service: z.string(),
  id: z.string(),
  /** Its time was over: nobody asked. */
  expired: z.literal(true).optional(),
});
