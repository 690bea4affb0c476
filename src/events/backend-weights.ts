/** The weights of a rule's backends by subset, as events carry them. */

import { BACKEND_WEIGHT_DEFAULT } from "../policy/check.ts";
import type { RouteRule } from "../policy/schema.ts";

export type Backends = NonNullable<RouteRule["backends"]>;

/** The key of the service as a whole among subset names; no DNS label is empty. */
export const WHOLE_SERVICE = "";

/** In the order of the document; a subset named twice has the sum. */
export function backendWeights(backends: Backends): Map<string, number> {
  const weights = new Map<string, number>();
  for (const { subset = WHOLE_SERVICE, weight = BACKEND_WEIGHT_DEFAULT } of backends) {
    weights.set(subset, (weights.get(subset) ?? 0) + weight);
  }
  return weights;
}

/** The same backends with these weights; a backend that is not among them stays as it is. */
export function withWeights(backends: Backends, weights: Readonly<Record<string, number>>): Backends {
  return backends.map((backend) => {
    const subset = backend.subset ?? WHOLE_SERVICE;
    // A subset may well be called `constructor`: only own members are weights.
    const weight = Object.hasOwn(weights, subset) ? weights[subset] : undefined;
    return weight === undefined ? backend : { ...backend, weight };
  });
}
