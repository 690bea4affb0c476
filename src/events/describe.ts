/** Events in words, for logs, diffs and messages: each sentence continues "alice …". */

import { renderInline } from "../policy/render.ts";
import type { RouteRule } from "../policy/schema.ts";
import { backendWeights } from "./backend-weights.ts";
import type { RecordedChange } from "./change.ts";
import { describeAccess, isAccessEvent } from "./describe-access.ts";
import type { DomainEvent } from "./domain-events.ts";
import { itemList } from "./item-list.ts";

/** A sentence beyond this is cut: a terminal line or two. */
const SENTENCE_LENGTH_MAX = 240;
/** Sentences of one change; the rest is counted. */
const SENTENCES_MAX = 50;

type EventOf<T extends DomainEvent["type"]> = Extract<DomainEvent, { type: T }>;

/** One event as one sentence without its subject, such as `granted shop/orders → shop/payment POST /charge`. */
export function describe(event: DomainEvent): string {
  return bounded(sentence(event));
}

/** The sentences of one change, in its order. */
export function describeChange({ change }: RecordedChange): string[] {
  return describeAll(change.data.events);
}

/** As `describeChange`, for events that have yet to be recorded. */
export function describeAll(events: readonly DomainEvent[]): string[] {
  const sentences = events.slice(0, SENTENCES_MAX).map(describe);
  const rest = events.length - sentences.length;
  return rest > 0 ? [...sentences, `and ${rest} more`] : sentences;
}

function sentence(event: DomainEvent): string {
  if (isAccessEvent(event)) return describeAccess(event);
  if (isServiceEvent(event)) return serviceSentence(event);
  switch (event.type) {
    case "MeshDeclared": {
      const { trustDomain, mtls, access } = event.spec;
      const said = [mtls && `mTLS ${mtls}`, access && `access ${access}`].filter((part) => part !== undefined);
      return `declared the mesh ${trustDomain}${said.length === 0 ? "" : `: ${said.join(", ")}`}`;
    }
    case "MtlsModeSet":
      return `set mTLS of the mesh from ${event.from} to ${event.to}`;
    case "NamespaceDefaultsSet":
      return `set what holds in the namespace ${event.name} from ${defaults(event.from)} to ${defaults(event.to)}`;
    case "AccessDefaultSet":
      return `set what happens to calls that no rule allows from ${event.from} to ${event.to}`;
    case "CertificateTtlDefaultSet":
      return `set how long certificates live from ${event.from ?? "the default"} to ${event.to ?? "the default"}`;
    case "OperatorAdded": {
      const where = event.role === "admin" || event.namespaces.length === 0 ? "" : ` of ${itemList(event.namespaces)}`;
      return `added ${event.name} as ${event.role}${where}`;
    }
    case "OperatorRevoked":
      return `revoked the operator ${event.name}`;
    case "TokenCreated":
      return `created a join token for ${event.namespace}/${event.service}${tokenTerms(event)}`;
    case "TokenUsed":
      return `let ${event.namespace}/${event.service} ${event.instance} join with token ${tokenId(event.publicKey)}`;
    case "TokenRevoked":
      return `revoked join token ${tokenId(event.publicKey)} of ${event.namespace}/${event.service}`;
    case "RootAdded":
      return `added root ${shortFingerprint(event.fingerprint)} to the trust bundle`;
    case "RootActivated":
      return `made root ${shortFingerprint(event.fingerprint)} the one that signs`;
    case "RootRotationStarted":
      return `began to replace root ${shortFingerprint(event.from)}`;
    case "RootRotationPaused":
      return "paused the change of roots";
    case "RootRotationResumed":
      return "went on with the change of roots";
    case "RootRotationAborted":
      return "called off the change of roots";
    case "FederationTrusted":
      return `trusts workloads of ${event.trustDomain}, by ${event.roots.length === 1 ? "1 root" : `${event.roots.length} roots`}`;
    case "FederationEnded":
      return `no longer trusts workloads of ${event.trustDomain}`;
    case "RootRetired":
      return `retired root ${shortFingerprint(event.fingerprint)}`;
    case "IdentityRevoked":
      return `revoked ${identity(event)}${event.serial === undefined ? "" : `, certificate ${event.serial}`}`;
    case "IdentityReinstated":
      return `reinstated ${identity(event)}`;
    case "FaultInjected":
      return `injected fault ${event.id} into ${calls(event)}: ${faultText(event.fault)}${event.expiresAt === undefined ? "" : `, until ${event.expiresAt}`}`;
    case "FaultCleared":
      return `cleared fault ${event.id} of ${event.namespace}/${event.service}${event.expired === true ? ": its time was over" : ""}`;
    case "RolledBack":
      return `rolled ${event.only === undefined ? event.namespace : itemList(event.only)} back to revision ${event.toRevision}`;
    case "ChangeReverted":
      return `reverted revision ${event.revision} in ${event.namespace}`;
    case "RateLimitSet":
      return `${event.from === undefined ? "limited" : "changed"} the rate of calls to ${event.namespace}/${event.to.service}: ${rates(event)}`;
    case "RateLimitRemoved":
      return `lifted the rate limit ${event.name} of ${event.namespace}/${event.from.service}`;
    case "RouteDefined":
    case "TrafficShifted":
    case "RouteTimeoutSet":
    case "RouteRetriesSet":
    case "RouteRemoved":
      return routeSentence(event);
    default: {
      const unheard: never = event;
      return unheard;
    }
  }
}

function tokenTerms({ publicKey, expiresAt, usesMax }: EventOf<"TokenCreated">): string {
  const until = expiresAt === undefined ? "" : `, until ${expiresAt}`;
  const uses = usesMax === undefined ? "" : `, for ${usesMax} instance${usesMax === 1 ? "" : "s"}`;
  return `: ${tokenId(publicKey)}${uses}${until}`;
}

const SERVICE_EVENTS = [
  "ServiceDeclared",
  "ServicePortsSet",
  "SubsetsDefined",
  "LoadBalancerSet",
  "ConnectionPoolSet",
  "OutlierDetectionSet",
  "HealthCheckSet",
  "CertificateTtlSet",
  "JwtValidationSet",
  "ServiceMtlsSet",
  "ServiceExternalSet",
  "ServiceRemoved",
] as const satisfies DomainEvent["type"][];

type ServiceEvent = EventOf<(typeof SERVICE_EVENTS)[number]>;

function isServiceEvent(event: DomainEvent): event is ServiceEvent {
  return SERVICE_EVENTS.some((type) => type === event.type);
}

function serviceSentence(event: ServiceEvent): string {
  const service = `${event.namespace}/${event.name}`;
  switch (event.type) {
    case "ServiceDeclared": {
      const subsets = Object.keys(event.spec.subsets ?? {});
      return `declared ${service} on ${ports(event.spec.ports)}${subsets.length === 0 ? "" : ` with subsets ${itemList(subsets)}`}`;
    }
    case "ServicePortsSet":
      return `set the ports of ${service} from ${ports(event.from)} to ${ports(event.to)}`;
    case "SubsetsDefined":
      if (event.to === undefined) return `removed the subsets of ${service}`;
      return `defined the subsets of ${service}: ${itemList(Object.entries(event.to).map(([name, labels]) => `${name} (${fields(labels)})`))}`;
    case "LoadBalancerSet":
      return `set load balancing of ${service} from ${balancing(event.from)} to ${balancing(event.to)}`;
    case "ConnectionPoolSet":
      return `set the connection pool of ${service} from ${fields(event.from)} to ${fields(event.to)}`;
    case "HealthCheckSet":
      return `set health checks of ${service} from ${fields(event.from)} to ${fields(event.to)}`;
    case "OutlierDetectionSet":
      return `set outlier detection of ${service} from ${fields(event.from)} to ${fields(event.to)}`;
    case "CertificateTtlSet":
      return `set how long certificates of ${service} live from ${event.from ?? "the default"} to ${event.to ?? "the default"}`;
    case "ServiceMtlsSet":
      return `set mTLS of ${service} from ${event.from ?? "the default"} to ${event.to ?? "the default"}`;
    case "ServiceExternalSet":
      if (event.to === undefined) return `made ${service} a service of this mesh`;
      return `said that ${service} is ${event.to.identity} at ${itemList(event.to.addresses)}`;
    case "JwtValidationSet":
      return `set the tokens that ${service} validates from ${tokens(event.from)} to ${tokens(event.to)}`;
    case "ServiceRemoved":
      return `removed ${service}`;
  }
}

function defaults(value: EventOf<"NamespaceDefaultsSet">["to"]): string {
  const said = [value?.mtls && `mTLS ${value.mtls}`, value?.access && `access ${value.access}`];
  return said.filter((part) => part !== undefined).join(", ") || "what the mesh says";
}

function tokens(jwt: EventOf<"JwtValidationSet">["to"]): string {
  if (jwt === undefined) return "none";
  const issuers = itemList(jwt.providers.map(({ issuer }) => issuer));
  return jwt.required === true ? `${issuers} (required)` : issuers;
}

function routeSentence(
  event: EventOf<"RouteDefined" | "TrafficShifted" | "RouteTimeoutSet" | "RouteRetriesSet" | "RouteRemoved">,
): string {
  if (event.type === "RouteDefined") {
    const { service, precedence, rules } = event.spec;
    const order = precedence === undefined ? "" : " (the most exact rule first)";
    return `defined the route of ${event.namespace}/${service}${order}: ${itemList(rules.map((rule, index) => `rule ${index} → ${destination(rule)}`))}`;
  }
  const service = `${event.namespace}/${event.service}`;
  switch (event.type) {
    case "TrafficShifted":
      return `shifted ${service} rule ${event.rule}: ${shares(event.from, event.to)}`;
    case "RouteTimeoutSet":
      return `set the timeout of ${service} rule ${event.rule} from ${event.from ?? "none"} to ${event.to ?? "none"}`;
    case "RouteRetriesSet":
      return `set the retries of ${service} rule ${event.rule} from ${retries(event.from)} to ${retries(event.to)}`;
    case "RouteRemoved":
      return `removed the route ${event.name} of ${service}`;
  }
}

function identity({ namespace, service, instance }: EventOf<"IdentityRevoked" | "IdentityReinstated">): string {
  const whose = `the identity of ${namespace}/${service}`;
  return instance === undefined ? whose : `${whose}, instance ${instance}`;
}

function calls({ namespace, service, match }: EventOf<"FaultInjected">): string {
  const which = match === undefined ? "" : ` with ${renderInline(match)}`;
  return `calls of ${namespace}/${service}${which}`;
}

type Fault = NonNullable<RouteRule["fault"]>;

/** Failures on purpose, such as `delay 2s for 10%, abort with 503`. */
export function faultText({ delay, bandwidth, abort }: Fault): string {
  const share = (percent: number | undefined): string => (percent === undefined ? "" : ` for ${percent}%`);
  const said = [
    delay && `delay ${delay.fixed ?? renderInline(delay.percentiles)}${share(delay.percent)}`,
    bandwidth && `${bandwidthText(bandwidth)}${share(bandwidth.percent)}`,
    abort && `${abortText(abort)}${share(abort.percent)}`,
  ];
  return said.filter((part) => part !== undefined).join(", ");
}

function bandwidthText({ bytesPerSecond, direction }: NonNullable<Fault["bandwidth"]>): string {
  const bodies = direction === undefined ? "bodies" : `${direction} bodies`;
  return `${bodies} at ${bytesPerSecond} bytes a second`;
}

function abortText({ status, grpcStatus }: NonNullable<Fault["abort"]>): string {
  if (status !== undefined) return `abort with ${status}`;
  return grpcStatus === undefined ? "reset" : `abort with gRPC status ${grpcStatus}`;
}

function balancing(value: EventOf<"LoadBalancerSet">["to"]): string {
  const { algorithm = "the default", ...rest } = value ?? {};
  return Object.keys(rest).length === 0 ? algorithm : `${algorithm} ${fields(rest)}`;
}

function shares(from: Readonly<Record<string, number>>, to: Readonly<Record<string, number>>): string {
  const [before, after] = [percentages(from), percentages(to)];
  return itemList(
    Array.from(after, ([subset, share]) => `${subset || "whole service"} ${before.get(subset) ?? "0%"}→${share}`),
  );
}

function percentages(weights: Readonly<Record<string, number>>): Map<string, string> {
  const entries = Object.entries(weights);
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
  // At most two decimals, and none where the share is whole.
  return new Map(
    entries.map(([subset, weight]) => [subset, `${total === 0 ? 0 : Math.round((weight * 10_000) / total) / 100}%`]),
  );
}

function destination({ backends, redirect, respond }: RouteRule): string {
  if (redirect !== undefined) return "a redirect";
  if (respond !== undefined) return `a response with ${respond.status}`;
  if (backends === undefined) return "whole service";
  const weights = Object.fromEntries(backendWeights(backends));
  return Array.from(percentages(weights), ([subset, share]) => `${subset || "whole service"} ${share}`).join(" + ");
}

function retries(policy: RouteRule["retries"]): string {
  if (policy === undefined) return "none";
  const { attempts, perTryTimeout, on, statusCodes, backoff, budget } = policy;
  const said = [
    perTryTimeout && `of ${perTryTimeout} each`,
    on && `on ${on.join(", ")}`,
    statusCodes && `(${statusCodes.join(", ")})`,
    backoff && `after ${fields(backoff)}`,
    budget && `within ${budget.percent}% and ${budget.minPerSecond}/s`,
  ];
  return [attempts, ...said.filter((part) => part !== undefined)].join(" ");
}

function rates({ to }: EventOf<"RateLimitSet">): string {
  return itemList(
    to.rules.map(({ requests, per, by, scope }) => {
      const keys = by === undefined ? [] : [by].flat().map((key) => (typeof key === "string" ? key : fields(key)));
      const where = scope === "mesh" ? " for all instances together" : "";
      return `${requests} per ${per}${keys.length === 0 ? "" : ` by ${keys.join(" and ")}`}${where}`;
    }),
  );
}

function ports(value: EventOf<"ServicePortsSet">["to"]): string {
  return value === undefined
    ? "none"
    : itemList(
        value.map(({ port, protocol, mtls }) => `${port} (${protocol}${mtls === undefined ? "" : `, mTLS ${mtls}`})`),
      );
}

function fields(value: Readonly<Record<string, unknown>> | undefined): string {
  const said = Object.entries(value ?? {}).filter(([, field]) => field !== undefined);
  return said.length === 0 ? "the defaults" : said.map(([name, field]) => `${name}=${fieldText(field)}`).join(" ");
}

function fieldText(field: unknown): string {
  return typeof field === "object" && field !== null ? `(${fields({ ...field })})` : String(field);
}

/** Enough of a SHA-256 to tell roots apart, as git does with commits. */
function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, 12);
}

/** How people name a key: its first characters after the prefix, which is the same for all. */
export function tokenId(publicKey: string): string {
  return publicKey.slice(1, 9);
}

/** One line of bounded length. Paths and labels may hold control characters, which must not reach a terminal. */
function bounded(text: string): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\uFFFD");
  return clean.length <= SENTENCE_LENGTH_MAX ? clean : `${clean.slice(0, SENTENCE_LENGTH_MAX - 1)}…`;
}
