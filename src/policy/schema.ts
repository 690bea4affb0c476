/**
 * The `heddle/v1` documents, as zod schemas: the one place that says what a document may hold, a kind to a file in
 * schema/. Objects are strict (an unknown field is an error), durations come out in canonical form, nothing is
 * defaulted (defaults belong to the compiler of snapshots, so that applying a file twice changes nothing).
 */

import { z } from "zod";
import { accessPolicySpec } from "./schema/access-policy.ts";
import { meshSpec } from "./schema/mesh.ts";
import { dnsLabel } from "./schema/primitives.ts";
import { rateLimitSpec } from "./schema/rate-limit.ts";
import { routeSpec } from "./schema/route.ts";
import { serviceSpec } from "./schema/service.ts";

export const API_VERSION = "heddle/v1";

const apiVersion = z.literal(API_VERSION, { error: `must be ${API_VERSION}` });
const namespaced = z.strictObject({ namespace: dnsLabel, name: dnsLabel });

export const meshDocument = z.strictObject({
  apiVersion,
  kind: z.literal("Mesh"),
  metadata: z.strictObject({ name: z.literal("default", { error: "must be default: there is one Mesh" }) }),
  spec: meshSpec,
});
export const serviceDocument = z.strictObject({
  apiVersion,
  kind: z.literal("Service"),
  metadata: namespaced,
  spec: serviceSpec,
});
export const routeDocument = z.strictObject({
  apiVersion,
  kind: z.literal("Route"),
  metadata: namespaced,
  spec: routeSpec,
});
export const accessPolicyDocument = z.strictObject({
  apiVersion,
  kind: z.literal("AccessPolicy"),
  metadata: namespaced,
  spec: accessPolicySpec,
});
export const rateLimitDocument = z.strictObject({
  apiVersion,
  kind: z.literal("RateLimit"),
  metadata: namespaced,
  spec: rateLimitSpec,
});

/** Any one policy document. */
export const policyDocument = z.discriminatedUnion("kind", [
  meshDocument,
  serviceDocument,
  routeDocument,
  accessPolicyDocument,
  rateLimitDocument,
]);

/** The parts that events carry on their own. */
export {
  ACCESS_ACTIONS,
  type AccessAction,
  type AccessConditions,
  type AccessDefault,
  type AccessPolicySpec,
  type AccessRule,
  accessConditions,
  accessDefault,
  accessRule,
  type ClaimCondition,
  type GrpcMethods,
  type HeaderMatch,
  partsOf,
} from "./schema/access-policy.ts";
export { parseExternalAddress, parseExternalIdentity } from "./schema/external.ts";
export { JWT_ALGORITHMS, type JwtSpec } from "./schema/jwt.ts";
export { DEFAULT_LOAD_BALANCER, LOAD_BALANCERS } from "./schema/load-balancer.ts";
export { type RequestMatch, type RouteMatch, requestMatch, routeMatch, type StringMatch } from "./schema/match.ts";
export { type MeshSpec, meshSpec, namespaceDefaults } from "./schema/mesh.ts";
export { type MtlsMode, mtlsMode } from "./schema/mtls.ts";
export { type RateLimitSpec, rateLimitSpec } from "./schema/rate-limit.ts";
export { RETRY_CONDITIONS, type RetryCondition } from "./schema/retries.ts";
export {
  type RoutePrecedence,
  type RouteRule,
  type RouteSpec,
  routePrecedence,
  routeRule,
  routeSpec,
} from "./schema/route.ts";
export { type HeaderChanges, headerChanges, redirect, respond, rewrite } from "./schema/route-filters.ts";
export { type ServiceSpec, serviceSpec } from "./schema/service.ts";

export type PolicyDocument = z.infer<typeof policyDocument>;
export type PolicyKind = PolicyDocument["kind"];
