/** A snapshot, compiled: what the sides read, once per request. Swapped as a whole, never changed. */

import { spiffeId } from "../policy/names.ts";
import type { ServiceSnapshot, SnapshotJwt } from "../projections/snapshot.ts";
import { type Access, compileAccess } from "./filters/access.ts";
import type { Quota } from "./filters/leased-bucket.ts";
import { RateLimiter } from "./filters/rate-limit.ts";
import type { JwksCache } from "./jwt/jwks-cache.ts";
import { TokenVerifier } from "./jwt/token-verifier.ts";
import { compileRoutes, type RouteTable } from "./route/compile.ts";
import { compileTrustedNames, type TrustedNames } from "./trusted-headers.ts";

export interface Policy {
  /** The service's own SPIFFE ID. */
  readonly spiffeId: string;
  readonly snapshot: ServiceSnapshot;
  readonly routes: RouteTable;
  readonly access: Access;
  readonly rateLimits: RateLimiter;
  /** Undefined: the service validates no tokens. */
  readonly tokens: TokenVerifier | undefined;
  /** Headers that only we may set. */
  readonly trustedNames: TrustedNames;
}

/** What compiled policy asks of the world. */
export interface PolicySources {
  readonly jwks: Pick<JwksCache, "keysAt" | "lookAgain">;
  /** Unix milliseconds. */
  readonly wallMs: () => number;
  /** Of the own instance. */
  readonly labels: Readonly<Record<string, string>>;
  /** Where tokens of mesh-wide rate limits come from; absent: they hold for this sidecar alone. */
  readonly quota?: Quota | undefined;
  /** Tokens of all rate limits come from there: this process is one of several that make the instance. */
  readonly leasesAll?: boolean;
}

/** @param previous the policy that this one follows: what it counted goes on counting where the rule is the same. */
export function compilePolicy(snapshot: ServiceSnapshot, sources: PolicySources, previous?: Policy): Policy {
  const id = spiffeId(snapshot.trustDomain, snapshot.namespace, snapshot.name);
  return {
    spiffeId: id,
    snapshot,
    routes: compileRoutes(snapshot, sources.labels, previous?.routes),
    access: compileAccess(snapshot.inbound),
    rateLimits: new RateLimiter(snapshot.inbound.rateLimits, previous?.rateLimits, sources.quota, sources.leasesAll),
    tokens: compileTokens(snapshot.inbound.jwt, sources, previous?.tokens),
    trustedNames: compileTrustedNames(snapshot.inbound),
  };
}

/** The verifier of the same settings goes on, with the tokens that it remembers. */
function compileTokens(
  settings: SnapshotJwt | undefined,
  { jwks, wallMs }: PolicySources,
  previous: TokenVerifier | undefined,
): TokenVerifier | undefined {
  if (settings === undefined) return undefined;
  const same = previous !== undefined && JSON.stringify(previous.settings) === JSON.stringify(settings);
  return same ? previous : new TokenVerifier(settings, jwks, wallMs);
}
