/** A snapshot, compiled: what the sides read, once per request. Swapped as a whole, never changed. */

import { spiffeId } from "../policy/names.ts";
import type { ServiceSnapshot } from "../projections/snapshot.ts";
import { type Access, compileAccess } from "./filters/access.ts";
import type { HttpProtocol } from "./io/tls.ts";
import { compileRoutes, type RouteTable } from "./route/compile.ts";

export interface Policy {
  /** The service's own SPIFFE ID. */
  readonly spiffeId: string;
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
  readonly access: Access;
  /** What the application speaks, by the protocol of its Service's port. */
  readonly applicationProtocol: HttpProtocol;
}

export function compilePolicy(snapshot: ServiceSnapshot): Policy {
  const id = spiffeId(snapshot.trustDomain, snapshot.namespace, snapshot.name);
  const [port] = snapshot.inbound.ports;
  return {
    spiffeId: id,
    snapshot,
    routes: compileRoutes(snapshot),
    access: compileAccess(snapshot.inbound),
    applicationProtocol: port?.protocol === "http2" || port?.protocol === "grpc" ? "h2" : "http/1.1",
  };
}
