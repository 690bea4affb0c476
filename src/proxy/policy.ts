/** A snapshot, compiled: what the sides read, once per request. Swapped as a whole, never changed. */

import { spiffeId } from "../policy/names.ts";
import type { ServiceSnapshot, SnapshotUpstream } from "../projections/snapshot.ts";
import { type Access, compileAccess } from "./filters/access.ts";
import { RateLimiter } from "./filters/rate-limit.ts";
import type { ApplicationProtocol } from "./io/tls.ts";
import { compileRoutes, type RouteTable } from "./route/compile.ts";

export interface Policy {
  /** The service's own SPIFFE ID. */
  readonly spiffeId: string;
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
  readonly access: Access;
  readonly rateLimits: RateLimiter;
  /** What the application speaks, by the protocol of its Service's port. */
  readonly applicationProtocol: ApplicationProtocol;
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
