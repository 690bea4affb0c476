/**
 * What one service's sidecars need to know, and nothing else: the only type that control plane and data plane share.
 * Compiled by `compile-snapshot.ts`, validated by the sidecar, stored in KV, pushed as JSON.
 */

import { z } from "zod";
import { canonicalJson } from "../policy/canonical.ts";
import {
  ACCESS_ACTIONS,
  accessConditions,
  accessDefault,
  JWT_ALGORITHMS,
  mtlsMode,
  requestMatch,
} from "../policy/schema.ts";
import { type DecisionOrigin, type RuleOrigin, ruleOrigin } from "./rule-origin.ts";
import {
  snapshotBalancing,
  snapshotConnectionPool,
  snapshotHealthCheck,
  snapshotLoadBalancer,
  snapshotOutlierDetection,
} from "./snapshot-resilience.ts";
import { snapshotInjectedFault, snapshotRouteRule } from "./snapshot-route.ts";

export const SNAPSHOT_VERSION = 1;

const snapshotRateLimit = z.strictObject({
  /** Alternatives; an empty list matches every request. */
  match: z.array(requestMatch),
  /** Requests that each interval brings, and how many more may be saved up. */
  requests: z.int().min(1),
  perMs: z.int().min(1),
  burst: z.int().min(0),
  /** Each calling service has a bucket of its own. */
  bySource: z.boolean(),
  /** What else has a bucket of its own; absent: nothing. */
  by: z
    .array(z.union([z.literal("path"), z.strictObject({ header: z.string() }), z.strictObject({ claim: z.string() })]))
    .optional(),
  /** Absent: each instance by itself. */
  scope: z.literal("mesh").optional(),
  origin: ruleOrigin,
});

const servicePort = z.strictObject({
  port: z.int(),
  protocol: z.enum(["http", "http2", "grpc", "tcp"]),
  /** Absent: strict. */
  mtls: mtlsMode.exclude(["strict"]).optional(),
});

export const snapshotUpstream = z.strictObject({
  namespace: z.string(),
  name: z.string(),
  /** SPIFFE ID that its sidecars must prove. */
  spiffeId: z.string(),
  ports: z.array(servicePort),
  /** Labels that select each subset's endpoints. */
  subsets: z.record(z.string(), z.record(z.string(), z.string())),
  loadBalancer: snapshotLoadBalancer,
  balancing: snapshotBalancing.optional(),
  connectionPool: snapshotConnectionPool,
  outlierDetection: snapshotOutlierDetection.optional(),
  /** First match wins; empty: everything to the whole service. */
  routes: z.array(snapshotRouteRule),
  /** Absent: none. */
  faults: z.array(snapshotInjectedFault).optional(),
  /** It is another mesh's, whose roots alone vouch for it; it is where this says, and announces nothing here. Absent: ours. */
  external: z
    .strictObject({
      trustDomain: z.string(),
      addresses: z.array(z.strictObject({ host: z.string(), port: z.int().min(1).max(65_535) })).min(1),
    })
    .optional(),
});

/** A rule's conditions as policy has them; callers of the own trust domain stand as `namespace/name`, `namespace/*` or `*`. */
const snapshotAccessRule = z.strictObject({
  action: z.enum(ACCESS_ACTIONS),
  /** Of a policy in dry run: it decides nothing. */
  dryRun: z.literal(true).optional(),
  ...accessConditions.shape,
  origin: ruleOrigin,
});

const jwksKey = z.looseObject({ kty: z.string() });

const snapshotJwt = z.strictObject({
  /** Requests without a token are refused. */
  required: z.boolean(),
  providers: z.array(
    z.strictObject({
      issuer: z.string(),
      audiences: z.array(z.string()),
      /** Exactly one of the two. */
      jwksUri: z.string().optional(),
      jwks: z.strictObject({ keys: z.array(jwksKey) }).optional(),
      algorithms: z.array(z.enum(JWT_ALGORITHMS)),
      clockSkewMs: z.int().min(0),
      /** The application gets the token as well. */
      forward: z.boolean(),
      /** Names of claims by the header in which the application gets them. */
      claimHeaders: z.record(z.string(), z.string()),
    }),
  ),
});

/** What is believed no longer of a service's certificates. */
const snapshotRevocation = z.strictObject({
  namespace: z.string(),
  name: z.string(),
  /** None of them is believed. */
  whole: z.boolean(),
  /** Those whose validity began before this are not: Unix milliseconds. */
  issuedBeforeMs: z.int().optional(),
  /** Single ones, lower-case hex. */
  serials: z.array(z.string()),
  /** Of the last revocation. */
  revision: z.int().min(0),
});

/** Another trust domain whose workloads are believed. */
const snapshotFederation = z.strictObject({
  trustDomain: z.string(),
  /** PEM of every root that vouches for it; these vouch for nobody else. */
  trustBundle: z.array(z.string()).min(1),
});

export const serviceSnapshot = z.strictObject({
  version: z.literal(SNAPSHOT_VERSION),
  /** The revision as of which this was compiled: a sidecar never goes back to a lower one. */
  revision: z.int().min(0),
  namespace: z.string(),
  name: z.string(),
  trustDomain: z.string(),
  mtls: z.enum(["strict", "permissive", "disabled"]),
  /** PEM of every root that is added or active. */
  trustBundle: z.array(z.string()),
  /** Fingerprint of the root that signs: certificates under another one are to be replaced. Absent: none is active. */
  activeRoot: z.string().optional(),
  /** Absent where there is none. */
  federation: z.array(snapshotFederation).optional(),
  /** Of this service, and of those that may call it or be called by it; absent where there is none. */
  revocations: z.array(snapshotRevocation).optional(),
  inbound: z.strictObject({
    ports: snapshotUpstream.shape.ports,
    accessDefault,
    /** What it would be if the policies in dry run were in force; absent where that is the same. */
    accessDefaultDryRun: accessDefault.optional(),
    access: z.array(snapshotAccessRule),
    /** Absent: no tokens are validated, and rules on claims find none. */
    jwt: snapshotJwt.optional(),
    rateLimits: z.array(snapshotRateLimit),
    /** Absent: as the sidecar was started. */
    healthCheck: snapshotHealthCheck.optional(),
  }),
  /** By `namespace/name`: the services that this one may call. */
  upstreams: z.record(z.string(), snapshotUpstream),
  /** Services of the own namespace that nothing allows this one to call: known by name, so that a denial can say so. */
  unreachable: z.array(z.string()),
});

export type ServiceSnapshot = z.infer<typeof serviceSnapshot>;
/** Of a snapshot, what decides about calls that arrive. */
export type CalledSnapshot = Pick<ServiceSnapshot, "inbound" | "revocations">;
export type SnapshotRevocation = z.infer<typeof snapshotRevocation>;
export type ServicePort = z.infer<typeof servicePort>;
export type SnapshotUpstream = z.infer<typeof snapshotUpstream>;
export type SnapshotAccessRule = z.infer<typeof snapshotAccessRule>;
/** What rules compare, as policy writes it. */
export type {
  AccessConditions,
  ClaimCondition,
  GrpcMethods,
  HeaderChanges,
  HeaderMatch,
  RequestMatch as SnapshotMatcher,
  RouteMatch as SnapshotRouteMatcher,
  StringMatch,
} from "../policy/schema.ts";
export type SnapshotJwt = z.infer<typeof snapshotJwt>;
export * from "./quota-protocol.ts";
export type {
  SnapshotBalancing,
  SnapshotHealthCheck,
  SnapshotOutlierDetection,
  SnapshotRetries,
} from "./snapshot-resilience.ts";
export type {
  SnapshotCors,
  SnapshotFault,
  SnapshotInjectedFault,
  SnapshotMirror,
  SnapshotRouteRule,
} from "./snapshot-route.ts";
export type SnapshotRateLimit = z.infer<typeof snapshotRateLimit>;
export type { DecisionOrigin, RuleOrigin };

/** `document[rule]@revision`: how a rule is named wherever a decision is traced back. */
export function formatOrigin(origin: DecisionOrigin): string {
  return `${origin.document}[${origin.rule}]@${origin.revision}`;
}

/**
 * The same for the same limit, wherever it stands among the rules of its document, and in whichever snapshot: what was
 * counted for it goes on counting. Unique within a document.
 */
export function rateLimitId(limit: Omit<SnapshotRateLimit, "origin">): string {
  const { match, requests, perMs, burst, bySource, by, scope } = limit;
  return Bun.hash(canonicalJson({ match, requests, perMs, burst, bySource, by, scope })).toString(36);
}

/** One running instance of a service that can take traffic. */
const endpoint = z.object({
  instance: z.string().max(64),
  /** Address of the sidecar's inbound (mTLS) listener. */
  host: z.string().max(255),
  port: z.int().min(1).max(65_535),
  labels: z.record(z.string().max(63), z.string().max(253)),
});

/** Of one service. */
export const ENDPOINTS_MAX = 10_000;

/**
 * All endpoints of one service. `version` grows with every change of the set; an older set is dropped. What a later version adds
 * to it or to an endpoint is left out: it decides nothing, as whoever answers there has to prove who it is.
 */
export const endpointSet = z.object({
  namespace: z.string(),
  name: z.string(),
  version: z.int().min(0),
  endpoints: z.array(endpoint).max(ENDPOINTS_MAX),
});

export type Endpoint = z.infer<typeof endpoint>;
export type EndpointSet = z.infer<typeof endpointSet>;

/** A status goes out every few seconds: it tells of so many avoided instances, `/clusters` of all. */
export const AVOIDED_MAX = 20;

/**
 * What a sidecar says of itself on `heddle.status.<namespace>.<service>.<instance>`, every few seconds and on change. It only
 * informs: what a later version adds is left out, and the instance is heard (docs/decisions/0021-reading-other-versions.md).
 */
export const instanceStatus = z.object({
  instance: z.string().max(64),
  namespace: z.string().max(63),
  service: z.string().max(63),
  /** `unhealthy`: all is there but the application. Only `ready` instances are offered to callers. */
  state: z.enum(["starting", "unhealthy", "ready", "draining", "gone"]),
  host: z.string().max(255),
  port: z.int().min(0).max(65_535),
  labels: z.record(z.string().max(63), z.string().max(253)),
  /** Revision of the snapshot in force; 0: none. */
  revision: z.int().min(0),
  /** Why a newer snapshot was refused, if one was. */
  rejected: z.object({ revision: z.int(), reason: z.string().max(1024) }).optional(),
  /** Instances of others that it leaves out of balancing, by its own observation; the first of them. */
  avoided: z
    .array(
      z.object({
        service: z.string().max(127),
        instance: z.string().max(64),
        /** An outlier's reason, or `unreachable`. */
        reason: z.string().max(64),
      }),
    )
    .max(AVOIDED_MAX)
    .optional(),
  /** RFC 3339; absent until there is a certificate. */
  certificateExpiry: z.string().optional(),
  /** Of its certificate: lower-case hex. */
  certificateSerial: z.string().max(40).optional(),
  /** Fingerprint of the root that its certificate leads to; absent where none of its trust bundle is. */
  certificateRoot: z.string().max(64).optional(),
  /** RFC 3339. */
  startedAt: z.string(),
  /** RFC 3339: its own clock as it spoke. Absent from versions that did not say. */
  time: z.string().max(64).optional(),
  version: z.string().max(64),
});

export type InstanceStatus = z.infer<typeof instanceStatus>;
