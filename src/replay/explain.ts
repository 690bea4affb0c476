/** A judgement taken apart into the facts that it rests on, each with the place in a document that says so. */

import { faultText } from "../events/describe.ts";
import type { MeshState } from "../events/state.ts";
import { formatDuration } from "../policy/duration.ts";
import { MESH_NAMESPACE } from "../policy/names.ts";
import { renderInline } from "../policy/render.ts";
import type { PolicyKind } from "../policy/schema.ts";
import {
  formatOrigin,
  type RuleOrigin,
  type SnapshotFault,
  type SnapshotRetries,
  type SnapshotRouteRule,
} from "../projections/snapshot.ts";
import type { AuditFinding, Decision } from "../proxy/filters/access.ts";
import { describeNearest } from "../proxy/filters/denial.ts";
import type { FieldPath } from "./blame.ts";
import type { Call, Judgement, Obstacle } from "./call.ts";
import { type Fact, type Place, placeIn } from "./fact.ts";
import { serviceFacts } from "./service-facts.ts";

const OBSTACLES: Readonly<Record<Obstacle, string>> = {
  bad_path: "refused with 400: the path can be read in more than one way",
  undeclared_source: "not possible: the mesh has no such caller",
  undeclared_destination: "not possible: the mesh has no such service",
  revoked: "refused at the handshake: an identity is revoked",
  foreign: "refused at the handshake: the caller's trust domain is not trusted (heddle ca federate)",
  plaintext: "refused: the port takes mutual TLS alone, and the caller proves no identity (spec.mtls of the Service)",
  no_tls: "refused: the service takes plaintext alone, and the caller comes with TLS (spec.mtls of the Service)",
  protocol: "refused with 502: requests are for an http port, connections (no METHOD and PATH) for a tcp one",
  untrusted: "answered with 503: the service is of a trust domain that is not trusted (heddle ca federate)",
  unreachable: "denied by the caller's own sidecar: nothing allows this caller any call of the service",
  no_route: "answered with 404: no rule of the route matches",
  no_backend: "answered with 503: the rule that matches leads nowhere",
  no_token: "refused with 401: the service asks for an end user's token (see --claim)",
  answered: "answered by the caller's own sidecar: the rule redirects, or has a response of its own",
  denied: "denied with 403",
};

/** In the order in which a call meets them; the last one is the outcome. */
export function explain(state: MeshState, call: Call, judgement: Judgement): Fact[] {
  const declared = state.namespaces.get(call.destination.namespace)?.services.get(call.destination.name);
  return [
    ...(declared === undefined ? [] : serviceFacts(call.destination, declared.value)),
    ...routeFacts(judgement, declared !== undefined),
    ...injectedFacts(judgement),
    ...accessFacts(state, call, judgement),
    ...limitFacts(judgement),
    { about: "result", text: resultText(judgement) },
  ];
}

/** The outcome of a call in one sentence. */
export function resultText({ allowed, obstacle, outcomes, fault }: Judgement): string {
  if (allowed) return `allowed: it reaches ${[...new Set(outcomes.map(({ service }) => service))].join(", ")}`;
  const text = OBSTACLES[obstacle ?? "denied"];
  const failing = outcomes.filter((outcome) => outcome.obstacle !== undefined);
  const share = failing.reduce((sum, outcome) => sum + outcome.share, 0);
  const part = outcomes.length > failing.length ? ` (${percent(share)} of such calls)` : "";
  return `${text}${fault === undefined ? "" : ` (${fault})`}${part}`;
}

function routeFacts({ source, rule, outcomes, obstacle }: Judgement, isDeclared: boolean): Fact[] {
  if (source === undefined) {
    const hasRoutes = obstacle === "no_route" || obstacle === "unreachable";
    return isDeclared && !hasRoutes ? [{ about: "route", text: "none: every call goes to the whole service" }] : [];
  }
  const { origin, timeoutMs, idleTimeoutMs, retries } = source;
  const at = (...path: FieldPath): Place => rulePlace("Route", origin, path);
  const matches = source.match.length === 0 ? "matches every call" : "matches";
  return [
    {
      about: "route",
      text: `${origin.document} rule ${origin.rule} ${matches}`,
      place: at(...matchPath(source.match)),
    },
    { about: "backends", text: backendsText(outcomes), place: at("backends") },
    ...filterFacts(source, at),
    {
      about: "timeout",
      text: timeoutMs === undefined ? "none" : formatDuration(timeoutMs),
      place: timeoutMs === undefined ? undefined : at("timeout"),
    },
    ...(idleTimeoutMs === undefined
      ? []
      : [{ about: "idle timeout", text: formatDuration(idleTimeoutMs), place: at("idleTimeout") }]),
    {
      about: "retries",
      text: retries === undefined || rule?.retries === undefined ? "none" : retriesText(retries),
      place: retries && at("retries"),
    },
  ];
}

/** What the rule does beside sending requests on, each as it is written. */
function filterFacts(rule: SnapshotRouteRule, at: (...path: FieldPath) => Place): Fact[] {
  return FILTERS.flatMap((field): Fact[] => {
    const value = rule[field];
    return value === undefined ? [] : [{ about: field, text: renderInline(value), place: at(field) }];
  });
}

/** What holds in place of the rule's own fault, for as long as nobody clears it. */
function injectedFacts({ injected }: Judgement): Fact[] {
  if (injected === undefined) return [];
  const { id, fault, revision, actor } = injected;
  const text = `${snapshotFaultText(fault)}, injected by ${actor} at revision ${revision} (heddle fault clear ${id})`;
  return [{ about: "fault", text }];
}

function snapshotFaultText({ delay, bandwidth, abort }: SnapshotFault): string {
  return faultText({
    ...(delay === undefined ? {} : { delay: delayInWords(delay) }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(abort === undefined ? {} : { abort }),
  });
}

function delayInWords({ fixedMs, percentiles = [], percent }: NonNullable<SnapshotFault["delay"]>) {
  if (fixedMs !== undefined) return { fixed: formatDuration(fixedMs), percent };
  const named = percentiles.map(({ percentile, ms }) => [`p${percentile}`, formatDuration(ms)] as const);
  return { percentiles: Object.fromEntries(named), percent };
}

const FILTERS = [
  "sticky",
  "headers",
  "rewrite",
  "redirect",
  "respond",
  "cors",
  "mirror",
  "fault",
] as const satisfies (keyof SnapshotRouteRule)[];

function matchPath(match: readonly unknown[]): FieldPath {
  return match.length === 0 ? [] : ["match"];
}

function retriesText({ attempts, on, statusCodes, perTryTimeoutMs, backoff, budget }: SnapshotRetries): string {
  const each = perTryTimeoutMs === undefined ? "" : ` of ${formatDuration(perTryTimeoutMs)} each`;
  const codes = statusCodes === undefined ? "" : ` (${statusCodes.join(", ")})`;
  const waits = backoff && `after ${formatDuration(backoff.baseMs)} to ${formatDuration(backoff.maxMs)}`;
  return [
    `up to ${attempts}${each} on ${on.join(", ")}${codes}`,
    ...(waits === undefined ? [] : [waits]),
    `at most ${budget.percent}% of the requests and ${budget.minPerSecond} a second`,
  ].join(", ");
}

function backendsText(outcomes: Judgement["outcomes"]): string {
  return outcomes
    .map(({ service, subset, share, obstacle }) => {
      const to = subset === undefined ? service : `${service} ${subset}`;
      return `${percent(share)} ${to}${obstacle === "no_backend" ? " (nobody there)" : ""}`;
    })
    .join(", ");
}

function accessFacts(state: MeshState, { method }: Call, { outcomes, target }: Judgement): Fact[] {
  const decisions = new Map(
    outcomes.flatMap(({ service, access }) => (access === undefined ? [] : [[service, access]])),
  );
  return Array.from(decisions).flatMap(([service, decision]) => {
    const { text, origin } = accessText(decision, `${method} ${target}`);
    const rule = origin === undefined ? meshPlace(state) : rulePlace("AccessPolicy", origin, []);
    const about = decisions.size > 1 ? `access ${service}` : "access";
    return [{ about, text, place: rule }, ...auditFacts(decision)];
  });
}

const FINDINGS: Readonly<Record<AuditFinding["outcome"], string>> = {
  would_match: "noted by the audit rule",
  would_deny: "would be denied, were the policies in dry run in force, by",
  would_allow: "would be allowed, were the policies in dry run in force, by",
};

/** What decides nothing and is counted all the same. */
function auditFacts({ audit }: Decision): Fact[] {
  return audit.map(({ outcome, origin }) => ({
    about: "audit",
    text: `${FINDINGS[outcome]} ${origin === undefined ? "the default" : formatOrigin(origin)}`,
    place: origin && rulePlace("AccessPolicy", origin, []),
  }));
}

function accessText(
  { allowed, origin, reason, nearest }: Decision,
  what: string,
): { text: string; origin: RuleOrigin | undefined } {
  if (origin !== undefined) return { text: `${allowed ? "allowed" : "denied"} by ${formatOrigin(origin)}`, origin };
  if (allowed) return { text: "no rule speaks of it, and the default is to allow", origin };
  if (reason === "unauthenticated") return { text: "denied: the caller has no certificate", origin };
  if (nearest === undefined) return { text: "no rule allows this caller, and the default is to deny", origin };
  return { text: describeNearest(nearest, what), origin: nearest.rule.origin };
}

function limitFacts({ limits, outcomes }: Judgement): Fact[] {
  if (outcomes.length === 0) return [];
  if (limits.length === 0) return [{ about: "rate limit", text: "none" }];
  return limits.map(({ requests, perMs, burst, bySource, by = [], scope, origin }) => ({
    about: "rate limit",
    text: [
      `${requests} per ${formatDuration(perMs)}`,
      burst > 0 ? `and ${burst} at once` : "",
      bySource ? "for each caller" : "",
      ...by.map((key) => `for each ${key === "path" ? key : Object.entries(key).flat().join(" ")}`),
      scope === "mesh" ? "for all instances together" : "",
    ]
      .filter((part) => part !== "")
      .join(" "),
    place: rulePlace("RateLimit", origin, []),
  }));
}

function rulePlace(kind: PolicyKind, { document, rule }: RuleOrigin, path: FieldPath): Place {
  const [namespace = "", name = ""] = document.split("/");
  return placeIn(kind, namespace, name, ["rules", rule, ...path]);
}

function meshPlace(state: MeshState): Place | undefined {
  return state.mesh?.value.access === undefined ? undefined : placeIn("Mesh", MESH_NAMESPACE, "default", ["access"]);
}

/** At most one decimal. */
function percent(share: number): string {
  return `${Math.round(share * 1_000) / 10}%`;
}
