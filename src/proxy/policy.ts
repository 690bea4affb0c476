/** A snapshot, compiled: what the sides read, once per request. Swapped as a whole, never changed. */

import { spiffeId } from "../policy/names.ts";
import type { ServiceSnapshot, SnapshotUpstream } from "../projections/snapshot.ts";
import { type Access, compileAccess } from "./filters/access.ts";
import type { ApplicationProtocol } from "./io/tls.ts";
import { compileRoutes, type RouteTable } from "./route/compile.ts";

export interface Policy {
  /** The service's own SPIFFE ID. */
  readonly spiffeId: string;
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
  readonly access: Access;
  /** What the application speaks, by the protocol of its Service's port. */
  readonly applicationProtocol: ApplicationProtocol;
}

export function compilePolicy(snapshot: ServiceSnapshot): Policy {
  const id = spiffeId(snapshot.trustDomain, snapshot.namespace, snapshot.name);
  return {
    spiffeId: id,
    snapshot,
    routes: compileRoutes(snapshot),
    access: compileAccess(snapshot.inbound),
    applicationProtocol: protocolOf(snapshot.inbound.ports),
  };
}

/** What a service speaks, by its first port; HTTP/1.1 where it names none. */
export function protocolOf(ports: SnapshotUpstream["ports"]): ApplicationProtocol {
  switch (ports[0]?.protocol) {
    case "http2":
    case "grpc":
      return "h2";
    case "tcp":
      return "tcp";
    default:
      return "http/1.1";
  }
}
