/** A snapshot, compiled: what the sides read, once per request. Swapped as a whole, never changed. */

import { spiffeId } from "../policy/names.ts";
import type { ServiceSnapshot } from "../projections/snapshot.ts";
import { type Access, compileAccess } from "./filters/access.ts";
import { RateLimiter } from "./filters/rate-limit.ts";
import { compileRoutes, type RouteTable } from "./route/compile.ts";

export interface Policy {
  /** The service's own SPIFFE ID. */
  readonly spiffeId: string;
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
  readonly access: Access;
  readonly rateLimits: RateLimiter;
}

/** @param previous the policy that this one follows: what it counted goes on counting where the rule is the same. */
export function compilePolicy(snapshot: ServiceSnapshot, previous?: Policy): Policy {
  const id = spiffeId(snapshot.trustDomain, snapshot.namespace, snapshot.name);
  return {
    spiffeId: id,
    snapshot,
    routes: compileRoutes(snapshot),
    access: compileAccess(snapshot.inbound),
    rateLimits: new RateLimiter(snapshot.inbound.rateLimits, previous?.rateLimits),
  };
}
