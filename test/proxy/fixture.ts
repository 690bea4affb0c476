/** Snapshots for the tests of routing and access, with only what a test cares about spelled out. */

import {
  type RuleOrigin,
  type ServiceSnapshot,
  SNAPSHOT_VERSION,
  type SnapshotAccessRule,
  type SnapshotRouteRule,
  type SnapshotUpstream,
} from "../../src/projections/snapshot.ts";
import type { AccessPeer, AccessRequest, Caller } from "../../src/proxy/filters/access-input.ts";

export function origin(document: string, rule = 0, revision = 42): RuleOrigin {
  return { document, rule, revision, actor: "alice" };
}

export function routeRule(rule: Partial<SnapshotRouteRule>, index = 0): SnapshotRouteRule {
  return { match: [], backends: [], origin: origin("shop/catalog", index), ...rule };
}

export function upstream(namespace: string, name: string, rest: Partial<SnapshotUpstream> = {}): SnapshotUpstream {
  return {
    namespace,
    name,
    spiffeId: `spiffe://mesh.local/ns/${namespace}/sa/${name}`,
    ports: [{ port: 8080, protocol: "http" }],
    subsets: {},
    loadBalancer: "round-robin",
    connectionPool: {},
    routes: [],
    ...rest,
  };
}

/** The snapshot of `shop/web` at revision 42. */
export function snapshot(rest: Partial<ServiceSnapshot> = {}): ServiceSnapshot {
  return {
    version: SNAPSHOT_VERSION,
    revision: 42,
    namespace: "shop",
    name: "web",
    trustDomain: "mesh.local",
    mtls: "strict",
    trustBundle: [],
    inbound: inbound([]),
    upstreams: {},
    unreachable: [],
    ...rest,
  };
}

/** A connection, with only what a test cares about. */
export function peer(caller: Caller | undefined, rest: Partial<AccessPeer> = {}): AccessPeer {
  return { caller, ip: "10.0.0.1", ...rest };
}

/** A request, as access is asked about it. `target` is a normalised path. */
export function accessRequest(method: string, target: string, rest: Partial<AccessRequest> = {}): AccessRequest {
  return { method, target, authority: "web", headers: [], port: 8080, ...rest };
}

export function inbound(
  access: readonly SnapshotAccessRule[],
  accessDefault: "allow" | "deny" = "deny",
): ServiceSnapshot["inbound"] {
  return { ports: [{ port: 8080, protocol: "http" }], accessDefault, access: [...access], rateLimits: [] };
}
