/**
 * The vocabulary of the ledger: what can have happened in a mesh, in the past tense, each event carrying the value
 * after the change (and the value before, where a reader of history would ask for it). Validated by these schemas
 * wherever an event enters from NATS or a file.
 */

import { z } from "zod";
import {
  accessDefault,
  accessRule,
  meshSpec,
  mtlsMode,
  namespaceDefaults,
  rateLimitSpec,
  routeRule,
  routeSpec,
  serviceSpec,
} from "../policy/schema.ts";
import { faultCleared, faultInjected } from "./fault-events.ts";
import {
  federationEnded,
  federationTrusted,
  identityReinstated,
  identityRevoked,
  rootActivated,
  rootAdded,
  rootRetired,
  rootRotationAborted,
  rootRotationPaused,
  rootRotationResumed,
  rootRotationStarted,
} from "./trust-events.ts";

const namespace = z.string();
const name = z.string();

/** Weights of one route rule by subset; the key `` (empty) is the service as a whole. */
const weights = z.record(z.string(), z.int().min(0));

/** What an operator may do; `admin` anything, `editor` policy of the namespaces, `viewer` read. */
export const OPERATOR_ROLES = ["admin", "editor", "viewer"] as const;

const meshDeclared = z.strictObject({ type: z.literal("MeshDeclared"), spec: meshSpec });
const mtlsModeSet = z.strictObject({ type: z.literal("MtlsModeSet"), from: mtlsMode, to: mtlsMode });
/** What holds in one namespace in place of what the mesh says; an absent `to`: nothing else any more. */
const namespaceDefaultsSet = z.strictObject({
  type: z.literal("NamespaceDefaultsSet"),
  name: z.string(),
  from: namespaceDefaults.optional(),
  to: namespaceDefaults.optional(),
});
const accessDefaultSet = z.strictObject({
  type: z.literal("AccessDefaultSet"),
  from: accessDefault,
  to: accessDefault,
});

/** An absent `to`: the control plane's own default. */
const certificateTtlDefaultSet = z.strictObject({
  type: z.literal("CertificateTtlDefaultSet"),
  from: meshSpec.shape.certificateTtl,
  to: meshSpec.shape.certificateTtl,
});

const operatorAdded = z.strictObject({
  type: z.literal("OperatorAdded"),
  name: z.string(),
  /** The nkey that signs this operator's commands (`U…`). */
  publicKey: z.string(),
  role: z.enum(OPERATOR_ROLES),
  namespaces: z.array(z.string()),
});

/** The key is void for good, with the server as well: whoever comes back gets another one. */
const operatorRevoked = z.strictObject({ type: z.literal("OperatorRevoked"), name: z.string(), publicKey: z.string() });

/** Sidecars of a service may join with the key that is named. The secret half never leaves whoever made it. */
const tokenCreated = z.strictObject({
  type: z.literal("TokenCreated"),
  namespace,
  service: z.string(),
  publicKey: z.string(),
  /** RFC 3339; absent: it does not end. */
  expiresAt: z.string().optional(),
  /** Instances that may join with it; absent: any number. */
  usesMax: z.int().min(1).optional(),
});
/** An instance has joined with a token whose uses are counted. It may come back, under its name, as often as it likes. */
const tokenUsed = z.strictObject({
  type: z.literal("TokenUsed"),
  namespace,
  service: z.string(),
  publicKey: z.string(),
  instance: z.string(),
});
const tokenRevoked = z.strictObject({
  type: z.literal("TokenRevoked"),
  namespace,
  service: z.string(),
  publicKey: z.string(),
});

const serviceDeclared = z.strictObject({ type: z.literal("ServiceDeclared"), namespace, name, spec: serviceSpec });
/** One part of a Service changed; an absent `to` means that it was taken away. */
const servicePart = <T extends string, S extends z.ZodType>(type: T, part: S) =>
  z.strictObject({ type: z.literal(type), namespace, name, from: part.optional(), to: part.optional() });
const servicePortsSet = servicePart("ServicePortsSet", serviceSpec.shape.ports);
const subsetsDefined = servicePart("SubsetsDefined", serviceSpec.shape.subsets);
const loadBalancerSet = servicePart("LoadBalancerSet", serviceSpec.shape.loadBalancer);
const connectionPoolSet = servicePart("ConnectionPoolSet", serviceSpec.shape.connectionPool);
const healthCheckSet = servicePart("HealthCheckSet", serviceSpec.shape.healthCheck);
const outlierDetectionSet = servicePart("OutlierDetectionSet", serviceSpec.shape.outlierDetection);
const certificateTtlSet = servicePart("CertificateTtlSet", serviceSpec.shape.certificateTtl.unwrap());
const serviceMtlsSet = servicePart("ServiceMtlsSet", mtlsMode);
/** Which tokens of end users the service validates. */
const jwtValidationSet = servicePart("JwtValidationSet", serviceSpec.shape.jwt);
/** A service became another mesh's, or is one of ours again, or is to be found elsewhere. */
const serviceExternalSet = servicePart("ServiceExternalSet", serviceSpec.shape.external);
const serviceRemoved = z.strictObject({ type: z.literal("ServiceRemoved"), namespace, name });

/** A new route, or one whose rules changed in more than what the narrower events below can say. */
const routeDefined = z.strictObject({ type: z.literal("RouteDefined"), namespace, name, spec: routeSpec });
/** Only the weights of one rule changed. `rule` is its index in the route. */
const trafficShifted = z.strictObject({
  type: z.literal("TrafficShifted"),
  namespace,
  name,
  service: z.string(),
  rule: z.int().min(0),
  from: weights,
  to: weights,
});
const routeTimeoutSet = z.strictObject({
  type: z.literal("RouteTimeoutSet"),
  namespace,
  name,
  service: z.string(),
  rule: z.int().min(0),
  from: routeRule.shape.timeout,
  to: routeRule.shape.timeout,
});
const routeRetriesSet = z.strictObject({
  type: z.literal("RouteRetriesSet"),
  namespace,
  name,
  service: z.string(),
  rule: z.int().min(0),
  from: routeRule.shape.retries,
  to: routeRule.shape.retries,
});
const routeRemoved = z.strictObject({ type: z.literal("RouteRemoved"), namespace, name, service: z.string() });

const accessPolicyDeclared = z.strictObject({
  type: z.literal("AccessPolicyDeclared"),
  namespace,
  name,
  service: z.string(),
  /** For calls that no rule speaks of; absent: as the namespace or the mesh says. */
  default: accessDefault.optional(),
  /** It decides nothing. */
  dryRun: z.literal(true).optional(),
});
/** What happens to calls of the service that no rule speaks of; an absent `to`: as the namespace or the mesh says. */
const accessPolicyDefaultSet = z.strictObject({
  type: z.literal("AccessPolicyDefaultSet"),
  namespace,
  name,
  service: z.string(),
  from: accessDefault.optional(),
  to: accessDefault.optional(),
});
/** From now on the policy decides nothing: what would change if it did is counted and logged. */
const accessDryRunStarted = z.strictObject({
  type: z.literal("AccessDryRunStarted"),
  namespace,
  name,
  service: z.string(),
});
const accessDryRunEnded = z.strictObject({
  type: z.literal("AccessDryRunEnded"),
  namespace,
  name,
  service: z.string(),
});
/** A rule entered the policy at `index` (later rules move up by one). */
const accessRuleEntered = <T extends string>(type: T) =>
  z.strictObject({
    type: z.literal(type),
    namespace,
    name,
    service: z.string(),
    index: z.int().min(0),
    rule: accessRule,
    /** The policy is in dry run: the rule decides nothing yet. */
    dryRun: z.literal(true).optional(),
  });
const accessGranted = accessRuleEntered("AccessGranted");
const accessRevoked = accessRuleEntered("AccessRevoked");
const accessForbidden = accessRuleEntered("AccessForbidden");
const accessForbiddanceLifted = accessRuleEntered("AccessForbiddanceLifted");
const accessAuditAdded = accessRuleEntered("AccessAuditAdded");
const accessAuditRemoved = accessRuleEntered("AccessAuditRemoved");
const accessPolicyRemoved = z.strictObject({
  type: z.literal("AccessPolicyRemoved"),
  namespace,
  name,
  service: z.string(),
});

const rateLimitSet = z.strictObject({
  type: z.literal("RateLimitSet"),
  namespace,
  name,
  from: rateLimitSpec.optional(),
  to: rateLimitSpec,
});
const rateLimitRemoved = z.strictObject({ type: z.literal("RateLimitRemoved"), namespace, name, from: rateLimitSpec });

/** Marks a change as a return to an earlier revision; the compensating events stand beside it. */
const rolledBack = z.strictObject({
  type: z.literal("RolledBack"),
  namespace,
  toRevision: z.int().min(0),
  /** Keys of the documents it was limited to; absent when the whole namespace went back. */
  only: z.array(z.string()).optional(),
});

/** Marks a change as the undoing of one earlier change; the compensating events stand beside it. */
const changeReverted = z.strictObject({
  type: z.literal("ChangeReverted"),
  namespace,
  /** The change that was undone. */
  revision: z.int().min(1),
});

export const domainEvent = z.discriminatedUnion("type", [
  meshDeclared,
  mtlsModeSet,
  accessDefaultSet,
  namespaceDefaultsSet,
  certificateTtlDefaultSet,
  operatorAdded,
  operatorRevoked,
  tokenCreated,
  tokenUsed,
  tokenRevoked,
  rootAdded,
  rootActivated,
  rootRetired,
  rootRotationStarted,
  rootRotationPaused,
  rootRotationResumed,
  rootRotationAborted,
  federationTrusted,
  federationEnded,
  serviceDeclared,
  servicePortsSet,
  subsetsDefined,
  loadBalancerSet,
  connectionPoolSet,
  outlierDetectionSet,
  healthCheckSet,
  certificateTtlSet,
  jwtValidationSet,
  serviceMtlsSet,
  serviceExternalSet,
  serviceRemoved,
  routeDefined,
  trafficShifted,
  routeTimeoutSet,
  routeRetriesSet,
  routeRemoved,
  accessPolicyDeclared,
  accessPolicyDefaultSet,
  accessDryRunStarted,
  accessDryRunEnded,
  accessGranted,
  accessRevoked,
  accessForbidden,
  accessForbiddanceLifted,
  accessAuditAdded,
  accessAuditRemoved,
  accessPolicyRemoved,
  rateLimitSet,
  rateLimitRemoved,
  identityRevoked,
  identityReinstated,
  faultInjected,
  faultCleared,
  rolledBack,
  changeReverted,
]);

export type DomainEvent = z.infer<typeof domainEvent>;
export type OperatorRole = (typeof OPERATOR_ROLES)[number];
