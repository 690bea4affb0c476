/** Who changed what: changes picked out of the ledger. */

import type { RecordedChange } from "../events/change.ts";
import { describe } from "../events/describe.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import { kindOfEvent } from "../events/event-document.ts";
import { parseServiceRef, type ServiceRef } from "../policy/names.ts";
import { type AccessRule, type PolicyKind, partsOf, type ServiceSpec } from "../policy/schema.ts";

/** All given conditions hold together; an empty filter lets everything pass. */
export interface HistoryFilter {
  readonly namespace?: string;
  /** The service is what the event is about, or a caller that it names; what is mesh-wide concerns every service. */
  readonly service?: ServiceRef;
  /** The service is a caller that the event names. */
  readonly source?: ServiceRef;
  /** The service is what the event is about, not merely a caller. */
  readonly destination?: ServiceRef;
  readonly kind?: PolicyKind;
  /** Name of the operator, exactly. */
  readonly actor?: string;
  /** Milliseconds since the epoch, inclusive. */
  readonly sinceMs?: number;
  /** Milliseconds since the epoch, exclusive. */
  readonly untilMs?: number;
  /** Part of the reason or of an event in words, whatever the case. */
  readonly text?: string;
  /** Only what decides who may call whom. */
  readonly accessOnly?: boolean;
}

/** A change that passed, with those of its events that made it pass: all of them where no condition is on events. */
export interface HistoryEntry {
  readonly recorded: RecordedChange;
  readonly events: readonly DomainEvent[];
}

/** The entry for one change; undefined when it does not pass. */
export function historyEntry(recorded: RecordedChange, filter: HistoryFilter): HistoryEntry | undefined {
  const { change, namespace } = recorded;
  if (filter.namespace !== undefined && filter.namespace !== namespace) return undefined;
  if (filter.actor !== undefined && filter.actor !== change.data.actor.name) return undefined;
  const timeMs = Date.parse(change.time);
  if (filter.sinceMs !== undefined && !(timeMs >= filter.sinceMs)) return undefined;
  if (filter.untilMs !== undefined && !(timeMs < filter.untilMs)) return undefined;
  const picked = change.data.events.filter((event) => concerns(event, filter));
  if (picked.length === 0) return undefined;
  if (filter.text === undefined) return { recorded, events: picked };
  const wanted = filter.text.toLowerCase();
  if (change.data.reason.toLowerCase().includes(wanted)) return { recorded, events: picked };
  const worded = picked.filter((event) => describe(event).toLowerCase().includes(wanted));
  return worded.length === 0 ? undefined : { recorded, events: worded };
}

/** The entries that pass, in the order of the log. The consumer sets the pace and may stop early. */
export async function* history(
  changes: Iterable<RecordedChange> | AsyncIterable<RecordedChange>,
  filter: HistoryFilter = {},
): AsyncGenerator<HistoryEntry> {
  for await (const recorded of changes) {
    const entry = historyEntry(recorded, filter);
    if (entry !== undefined) yield entry;
  }
}

/** The service that an event is about; undefined for what is not about one service. */
export function serviceOfEvent(event: DomainEvent): ServiceRef | undefined {
  if (!("namespace" in event) || event.type === "RolledBack" || event.type === "ChangeReverted") return undefined;
  const { namespace } = event;
  if ("service" in event) return `${namespace}/${event.service}`;
  if (event.type === "RouteDefined") return `${namespace}/${event.spec.service}`;
  if (event.type === "RateLimitSet") return `${namespace}/${event.to.service}`;
  if (event.type === "RateLimitRemoved") return `${namespace}/${event.from.service}`;
  return `${namespace}/${event.name}`;
}

function concerns(event: DomainEvent, filter: HistoryFilter): boolean {
  const { service, source, destination, kind, accessOnly } = filter;
  if (kind !== undefined && kindOfEvent(event) !== kind) return false;
  if (accessOnly === true && !isAboutAccess(event)) return false;
  if (source !== undefined && !isCaller(event, source)) return false;
  if (destination !== undefined && !isAbout(event, destination)) return false;
  return service === undefined || concernsService(event, service);
}

/**
 * Who may call whom: rules and policies, the default where none speaks, whether callers must prove who they are and
 * whose users they act for, and whose proof is taken.
 */
export function isAboutAccess(event: DomainEvent): boolean {
  switch (event.type) {
    case "IdentityRevoked":
    case "IdentityReinstated":
    case "FederationTrusted":
    case "FederationEnded":
    case "ServiceMtlsSet":
    case "JwtValidationSet":
      return true;
    case "CertificateTtlDefaultSet":
      return false;
    case "ServiceDeclared":
      return asksForProof(event.spec);
    case "ServicePortsSet":
      return [...(event.from ?? []), ...(event.to ?? [])].some(({ mtls }) => mtls !== undefined);
    default: {
      const kind = kindOfEvent(event);
      return kind === "AccessPolicy" || kind === "Mesh";
    }
  }
}

/** It says of itself what callers must prove; all others are as the mesh says. */
function asksForProof({ mtls, jwt, ports }: ServiceSpec): boolean {
  return mtls !== undefined || jwt !== undefined || ports.some((port) => port.mtls !== undefined);
}

/** What is about every service: the Mesh document, and which other trust domains are believed. */
export function isMeshWide(event: DomainEvent): boolean {
  const isTrust = event.type === "FederationTrusted" || event.type === "FederationEnded";
  return isTrust || kindOfEvent(event) === "Mesh";
}

function concernsService(event: DomainEvent, service: ServiceRef): boolean {
  return isAbout(event, service) || isCaller(event, service);
}

function isAbout(event: DomainEvent, service: ServiceRef): boolean {
  if (isMeshWide(event) || serviceOfEvent(event) === service) return true;
  if (event.type === "RolledBack") return event.only === undefined && service.startsWith(`${event.namespace}/`);
  if (event.type === "RateLimitSet" && event.from !== undefined) {
    return `${event.namespace}/${event.from.service}` === service;
  }
  return false;
}

function isCaller(event: DomainEvent, service: ServiceRef): boolean {
  return "rule" in event && typeof event.rule === "object" && names(event.rule, service);
}

/** Whether a rule speaks of the service as a caller: by name, by its namespace, or as one of all. */
function names(rule: AccessRule, service: ServiceRef): boolean {
  const { from } = partsOf(rule).conditions;
  const namespace = parseServiceRef(service)?.namespace;
  return from === undefined || from.some((who) => who === "*" || who === service || who === `${namespace}/*`);
}
