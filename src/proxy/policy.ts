/** A snapshot, compiled: what the sides read, once per request. Swapped as a whole, never changed. */

import type { ServiceSnapshot } from "../projections/snapshot.ts";
import { type Access, compileAccess } from "./filters/access.ts";
import { compileRoutes, type RouteTable } from "./route/compile.ts";

export interface Policy {
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
  readonly access: Access;
}

export function compilePolicy(snapshot: ServiceSnapshot): Policy {
  return { snapshot, routes: compileRoutes(snapshot), access: compileAccess(snapshot.inbound) };
}
