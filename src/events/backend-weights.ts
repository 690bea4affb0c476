/** The weights of a rule's backends, as events carry them: by subset, and other services by a text that no subset is. */

import { BACKEND_WEIGHT_DEFAULT } from "../policy/check.ts";
import type { RouteRule } from "../policy/schema.ts";

export type Backends = NonNullable<RouteRule["backends"]>;

/** The key of the service as a whole among subset names; no DNS label is empty. */
const WHOLE_SERVICE = "";

/** How events name a backend: its subset, or `service catalog-next v2`. */
export function backendKey({ service, subset }: Backends[number]): string {
  if (service === undefined) return subset ?? WHOLE_SERVICE;
  return subset === undefined ? `service ${service}` : `service ${service} ${subset}`;
}

/** The other service that a key names, which may be one that no rule sends to yet; undefined for a subset. */
export function otherServiceOf(key: string): string | undefined {
  const [kind, service, ...more] = key.split(" ");
  return kind === "service" && more.length === 0 ? service : undefined;
}

/** In the order of the document; a backend named twice has the sum. */
export function backendWeights(backends: Backends): Map<string, number> {
  const weights = new Map<string, number>();
  for (const backend of backends) {
    const { weight = BACKEND_WEIGHT_DEFAULT } = backend;
    const key = backendKey(backend);
    weights.set(key, (weights.get(key) ?? 0) + weight);
  }
  return weights;
}

/** The same backends with these weights; a backend that is not among them stays as it is. */
export function withWeights(backends: Backends, weights: Readonly<Record<string, number>>): Backends {
  return backends.map((backend) => {
    const subset = backendKey(backend);
    // A subset may well be called `constructor`: only own members are weights.
    const weight = Object.hasOwn(weights, subset) ? weights[subset] : undefined;
    return weight === undefined ? backend : { ...backend, weight };
  });
}
