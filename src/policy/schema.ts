/**
 * The `heddle/v1` documents, as zod schemas: the one place that says what a document may hold. Objects are strict
 * (an unknown field is an error), durations come out in canonical form, nothing is defaulted (defaults belong to
 * the compiler of snapshots, so that applying a file twice changes nothing).
 */

import { z } from "zod";
import { formatDuration, parseDuration } from "./duration.ts";
import { DNS_LABEL, TRUST_DOMAIN } from "./names.ts";

export const API_VERSION = "heddle/v1";

const dnsLabel = z
  .string()
  .regex(DNS_LABEL, "must be a DNS label: lower-case letters, digits and inner hyphens, at most 63 characters");

/** A duration such as `800ms`, `3s`, `1m30s`; canonicalised, so that `60s` equals `1m`. */
const duration = z.string({ error: "must be a duration such as 800ms, 3s or 1m30s" }).transform((text, context) => {
  const durationMs = parseDuration(text);
  if (durationMs !== undefined && durationMs > 0) return formatDuration(durationMs);
  context.addIssue({ code: "custom", message: "must be a duration above zero, such as 800ms, 3s or 1m30s" });
  return z.NEVER;
});

const positiveInteger = z.int().min(1).max(1_000_000_000);
const percent = z.number().min(0).max(100);

/** HTTP token (RFC 9110 §5.6.2). */
const httpToken = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const method = z.string().regex(/^[A-Z][A-Z-]{0,31}$/, "must be an HTTP method in capitals, such as GET");

/** How one string is compared; exactly one key. */
const stringMatch = z.union(
  [
    z.strictObject({ exact: z.string().max(4096) }),
    z.strictObject({ prefix: z.string().min(1).max(4096) }),
    z.strictObject({ present: z.boolean() }),
  ],
  { error: "must be one of { exact: text }, { prefix: text } or { present: true|false }" },
);

const absolutePath = z.string().max(4096).startsWith("/", "must begin with /");
const pathMatch = z.union([z.strictObject({ exact: absolutePath }), z.strictObject({ prefix: absolutePath })], {
  error: "must be { exact: /path } or { prefix: /path }",
});

const headerName = z
  .string()
  .regex(httpToken, "must be an HTTP header name")
  .max(256)
  .transform((name) => name.toLowerCase());

/** All fields of one match hold together; the matches of a rule are alternatives. */
const requestMatch = z.strictObject({
  path: pathMatch.optional(),
  methods: z.array(method).min(1).max(64).optional(),
  headers: z.record(headerName, stringMatch).optional(),
});

const meshSpec = z.strictObject({
  trustDomain: z.string().regex(TRUST_DOMAIN, "must be a SPIFFE trust domain: [a-z0-9.-_], at most 255 characters"),
  mtls: z.enum(["strict", "permissive", "disabled"]).optional(),
  access: z.enum(["deny", "allow"]).optional(),
});

const servicePort = z.strictObject({
  port: z.int().min(1).max(65_535),
  protocol: z.enum(["http", "http2", "grpc", "tcp"]),
});

const serviceSpec = z.strictObject({
  ports: z.array(servicePort).min(1).max(64),
  subsets: z.record(dnsLabel, z.record(z.string().min(1).max(63), z.string().max(253))).optional(),
  loadBalancer: z.strictObject({ algorithm: z.enum(["round-robin", "least-request", "random"]) }).optional(),
  connectionPool: z
    .strictObject({
      maxConnections: positiveInteger.optional(),
      maxPendingRequests: positiveInteger.optional(),
      maxRequests: positiveInteger.optional(),
    })
    .optional(),
  outlierDetection: z
    .strictObject({
      consecutive5xx: positiveInteger.optional(),
      interval: duration.optional(),
      baseEjectionTime: duration.optional(),
      maxEjectionPercent: percent.optional(),
    })
    .optional(),
});

/** Conditions under which an attempt is repeated; Envoy's names. */
export const RETRY_CONDITIONS = [
  "5xx",
  "gateway-error",
  "connect-failure",
  "reset",
  "retriable-4xx",
  "refused-stream",
] as const;

const backend = z.strictObject({
  subset: dnsLabel.optional(),
  weight: z.int().min(0).max(1_000_000).optional(),
});

const routeRule = z.strictObject({
  match: z.array(requestMatch).min(1).max(64).optional(),
  backends: z.array(backend).min(1).max(64).optional(),
  timeout: duration.optional(),
  retries: z
    .strictObject({
      attempts: z.int().min(0).max(10),
      perTryTimeout: duration.optional(),
      on: z.array(z.enum(RETRY_CONDITIONS)).min(1).optional(),
      budget: z.strictObject({ percent, minPerSecond: z.int().min(0).max(1_000_000) }).optional(),
    })
    .optional(),
});

const routeSpec = z.strictObject({ service: dnsLabel, rules: z.array(routeRule).min(1).max(1024) });

/** `shop/web`, every service of a namespace `shop/*`, or every authenticated caller `*`. */
const principalPattern = z
  .string()
  .regex(
    /^(?:\*|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\/(?:\*|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?))$/,
    "must be namespace/service (such as shop/web), namespace/* or *",
  );

/** `/admin` exactly, or `/admin/*` for everything below it. */
const pathPattern = absolutePath.regex(
  /^[^*]*\*?$/,
  "must be a path such as /charge, or a prefix ending in * such as /admin/*",
);

const callers = z.strictObject({
  from: z.array(principalPattern).min(1).max(1024).optional(),
  methods: z.array(method).min(1).max(64).optional(),
  paths: z.array(pathPattern).min(1).max(1024).optional(),
});

const accessRule = z.union([z.strictObject({ allow: callers }), z.strictObject({ deny: callers })], {
  error: "must be { allow: { from, methods, paths } } or { deny: { from, methods, paths } }",
});

const accessPolicySpec = z.strictObject({ service: dnsLabel, rules: z.array(accessRule).min(1).max(1024) });

const rateLimitRule = z.strictObject({
  match: z.array(requestMatch).min(1).max(64).optional(),
  requests: positiveInteger,
  per: duration,
  burst: z.int().min(0).max(1_000_000_000).optional(),
  by: z.enum(["source"]).optional(),
});

const rateLimitSpec = z.strictObject({ service: dnsLabel, rules: z.array(rateLimitRule).min(1).max(256) });

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
export { accessRule, meshSpec, rateLimitSpec, routeRule, routeSpec, serviceSpec };

export type PolicyDocument = z.infer<typeof policyDocument>;
export type PolicyKind = PolicyDocument["kind"];
export type MeshSpec = z.infer<typeof meshSpec>;
export type ServiceSpec = z.infer<typeof serviceSpec>;
export type RouteSpec = z.infer<typeof routeSpec>;
export type RouteRule = z.infer<typeof routeRule>;
export type RequestMatch = z.infer<typeof requestMatch>;
export type AccessRule = z.infer<typeof accessRule>;
export type Callers = z.infer<typeof callers>;
export type RateLimitSpec = z.infer<typeof rateLimitSpec>;
export type RetryCondition = (typeof RETRY_CONDITIONS)[number];
export type MtlsMode = NonNullable<MeshSpec["mtls"]>;
export type AccessDefault = NonNullable<MeshSpec["access"]>;
