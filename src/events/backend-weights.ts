/** The weights of a rule's backends by subset, as events carry them. */

import { BACKEND_WEIGHT_DEFAULT } from "../policy/check.ts";
import type { RouteRule } from "../policy/schema.ts";

/** The key of the service as a whole among subset names; no DNS label is empty. */
export const WHOLE_SERVICE = "";

/** In the order of the document; a subset named twice has the sum. */
export function backendWeights(backends: NonNullable<RouteRule["backends"]>): Map<string, number> {
  const weights = new Map<string, number>();
  for (const { subset = WHOLE_SERVICE, weight = BACKEND_WEIGHT_DEFAULT } of backends) {
    weights.set(subset, (weights.get(subset) ?? 0) + weight);
  }
  return weights;
}
