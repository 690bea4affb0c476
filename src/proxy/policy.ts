/** A snapshot, compiled: what the sides read, once per request. Swapped as a whole, never changed. */

import { spiffeId } from "../policy/names.ts";
import type { ServiceSnapshot } from "../projections/snapshot.ts";
import { type Access, compileAccess } from "./filters/access.ts";
import { compileRoutes, type RouteTable } from "./route/compile.ts";

export interface Policy {
  /** The service's own SPIFFE ID. */
  readonly spiffeId: string;
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
  readonly access: Access;
}

export function compilePolicy(snapshot: ServiceSnapshot): Policy {
  const id = spiffeId(snapshot.trustDomain, snapshot.namespace, snapshot.name);
  return { spiffeId: id, snapshot, routes: compileRoutes(snapshot), access: compileAccess(snapshot.inbound) };
}
