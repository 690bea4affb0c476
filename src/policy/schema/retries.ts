/** When and how often a call is tried again. */

import { z } from "zod";
import { parseDuration } from "../duration.ts";
import { duration, percent } from "./primitives.ts";

/** Conditions under which an attempt is repeated; Envoy's names, those of gRPC's codes last. */
export const RETRY_CONDITIONS = [
  "5xx",
  "gateway-error",
  "connect-failure",
  "reset",
  "retriable-4xx",
  "refused-stream",
  "retriable-status-codes",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
] as const;

const backoff = z
  .strictObject({ base: duration.optional(), max: duration.optional() })
  .refine(({ base, max }) => base === undefined || max === undefined || milliseconds(base) <= milliseconds(max), {
    error: "must have a base that is not above its max",
  });

export const retries = z
  .strictObject({
    attempts: z.int().min(0).max(10),
    perTryTimeout: duration.optional(),
    on: z.array(z.enum(RETRY_CONDITIONS)).min(1).optional(),
    /** For `retriable-status-codes`. */
    statusCodes: z.array(z.int().min(400).max(599)).min(1).max(64).optional(),
    backoff: backoff.optional(),
    budget: z.strictObject({ percent, minPerSecond: z.int().min(0).max(1_000_000) }).optional(),
  })
  .refine(({ on = [], statusCodes }) => on.includes("retriable-status-codes") === (statusCodes !== undefined), {
    error: "must have statusCodes exactly where `on` names retriable-status-codes",
  });

export type RetryCondition = (typeof RETRY_CONDITIONS)[number];

function milliseconds(text: string): number {
  return parseDuration(text) ?? 0;
}
