/**
 * The mesh as the fold of its history. Maps, never plain objects: `constructor` is a good name for a service.
 * Immutable by type; `evolve` copies what it touches and shares the rest.
 */

import type {
  AccessDefault,
  AccessRule,
  MeshSpec,
  RateLimitSpec,
  RouteMatch,
  RoutePrecedence,
  RouteRule,
  ServiceSpec,
} from "../policy/schema.ts";
import type { OperatorRole } from "./domain-events.ts";

/** The change that put a value where it is: what audit, blame and denials point to. */
export interface Origin {
  readonly revision: number;
  readonly actor: string;
  /** RFC 3339, UTC. */
  readonly time: string;
}

/** A value and the change that put it there. */
export interface WithOrigin<T> {
  readonly value: T;
  readonly origin: Origin;
}

export interface RouteState {
  readonly service: string;
  /** Absent: rules are tried in their order. */
  readonly precedence?: RoutePrecedence | undefined;
  readonly rules: readonly WithOrigin<RouteRule>[];
  readonly origin: Origin;
}

export interface AccessPolicyState {
  readonly service: string;
  /** For calls of the service that no rule speaks of; absent: as the namespace or the mesh says. */
  readonly default?: AccessDefault | undefined;
  /** It decides nothing: what would change if it did is counted and logged. */
  readonly dryRun?: true | undefined;
  readonly rules: readonly WithOrigin<AccessRule>[];
  readonly origin: Origin;
}

/** What is believed no longer of the certificates of one service. */
export interface IdentityRevocation {
  /** Set while nobody may be the service at all. */
  readonly whole: Origin | undefined;
  /** Certificates whose validity began before this are refused, whoever has been reinstated since. RFC 3339, UTC. */
  readonly issuedBefore: string | undefined;
  /** Single certificates, by serial number in lower-case hex. */
  readonly serials: ReadonlyMap<string, Origin>;
  /** Instances for which nothing is signed. */
  readonly instances: ReadonlyMap<string, Origin>;
}

/** A fault that is injected into calls of one service. */
export interface FaultState {
  readonly service: string;
  /** Undefined: into every call. */
  readonly match: RouteMatch | undefined;
  readonly fault: NonNullable<RouteRule["fault"]>;
  /** RFC 3339; undefined: until somebody clears it. */
  readonly expiresAt: string | undefined;
  readonly origin: Origin;
}

/** All that a namespace's changes left behind. */
export interface NamespaceState {
  /** Revision of the last change in this namespace; what the next append must expect. 0: none yet. */
  readonly revision: number;
  readonly services: ReadonlyMap<string, WithOrigin<ServiceSpec>>;
  readonly routes: ReadonlyMap<string, RouteState>;
  readonly accessPolicies: ReadonlyMap<string, AccessPolicyState>;
  readonly rateLimits: ReadonlyMap<string, WithOrigin<RateLimitSpec>>;
  /** By service; whoever is in here may have no document at all. */
  readonly revocations: ReadonlyMap<string, IdentityRevocation>;
  /** Failures made on purpose, by id. */
  readonly faults: ReadonlyMap<string, FaultState>;
}

export interface Operator {
  readonly name: string;
  readonly publicKey: string;
  readonly role: OperatorRole;
  readonly namespaces: readonly string[];
}

/** What sidecars of one service may join with. */
export interface JoinToken {
  readonly publicKey: string;
  readonly namespace: string;
  readonly service: string;
  /** RFC 3339; undefined: it does not end. */
  readonly expiresAt: string | undefined;
  /** Instances that may join; undefined: any number. */
  readonly usesMax: number | undefined;
  /** Instances that have joined, where they are counted. */
  readonly instances: readonly string[];
  readonly origin: Origin;
}

/** A key that was an operator's or a token's, and is nobody's any more. */
export interface RevokedKey {
  /** `alice`, or `shop/orders`. */
  readonly name: string;
  /** RFC 3339; what it signed is void then even without the revocation. */
  readonly expiresAt: string | undefined;
  readonly origin: Origin;
}

/** A root certificate and how far it is in its life. */
export interface TrustRoot {
  readonly fingerprint: string;
  readonly pem: string;
  readonly status: "added" | "active" | "retired";
}

/** Another trust domain, and the roots that vouch for its workloads. */
export interface FederatedDomain {
  /** PEM of each. */
  readonly roots: readonly string[];
  readonly sequence: number | undefined;
  readonly origin: Origin;
}

/** A change of roots that is under way. */
export interface RootRotation {
  /** Fingerprint of the root that is to go. */
  readonly from: string;
  /** Fingerprint of the one that takes its place; undefined until it is added. */
  readonly to: string | undefined;
  readonly paused: boolean;
  /** Revision of the last step, which everybody must enforce before the next one. */
  readonly step: number;
  readonly origin: Origin;
}

/** The whole mesh as of a revision. */
export interface MeshState {
  /** Revision of the last change folded, whatever its namespace. 0: nothing has happened. */
  readonly revision: number;
  readonly mesh: WithOrigin<MeshSpec> | undefined;
  /** By public key. */
  readonly operators: ReadonlyMap<string, Operator>;
  /** By public key. */
  readonly tokens: ReadonlyMap<string, JoinToken>;
  /** By public key; none of them is among the operators or tokens. */
  readonly revokedKeys: ReadonlyMap<string, RevokedKey>;
  /** By fingerprint. */
  readonly roots: ReadonlyMap<string, TrustRoot>;
  readonly rotation: RootRotation | undefined;
  /** Other trust domains whose workloads are believed, by name. */
  readonly federation: ReadonlyMap<string, FederatedDomain>;
  /** Includes `_mesh`, whose maps stay empty and whose revision counts. */
  readonly namespaces: ReadonlyMap<string, NamespaceState>;
}

export const EMPTY_NAMESPACE: NamespaceState = {
  revision: 0,
  services: new Map(),
  routes: new Map(),
  accessPolicies: new Map(),
  rateLimits: new Map(),
  revocations: new Map(),
  faults: new Map(),
};

export const INITIAL_STATE: MeshState = {
  revision: 0,
  mesh: undefined,
  operators: new Map(),
  tokens: new Map(),
  revokedKeys: new Map(),
  roots: new Map(),
  rotation: undefined,
  federation: new Map(),
  namespaces: new Map(),
};

/** The defaults where no Mesh document speaks: secure ones, and the trust domain that `heddle up` starts with. */
export const MESH_DEFAULTS = { trustDomain: "mesh.local", mtls: "strict", access: "deny" } as const;

/** The root that signs, if there is one. */
export function activeRoot(roots: MeshState["roots"]): TrustRoot | undefined {
  return [...roots.values()].find(({ status }) => status === "active");
}
