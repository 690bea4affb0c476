/**
 * What occurs in a stretch of history: who acted, on which services and documents. A question about an operator or a
 * document then reads the stretches that can answer it, and passes over the rest of a long ledger.
 */

import { z } from "zod";
import type { RecordedChange } from "../events/change.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import { documentOfEvent, kindOfEvent } from "../events/event-document.ts";
import { type DocumentKey, parseServiceRef, type ServiceRef } from "../policy/names.ts";
import { partsOf } from "../policy/schema.ts";
import { HISTORY_EVERY } from "../projections/history-checkpoints.ts";
import type { Projection } from "../projections/projection.ts";
import type { StateCodec } from "../projections/state-codec.ts";
import { type HistoryFilter, isAboutAccess, isMeshWide, serviceOfEvent } from "./history.ts";

/** In place of a service's name: every service. `shop/*`: those of a namespace. */
const ALL = "*";

export interface ChangeIndex {
  readonly namespaces: ReadonlySet<string>;
  /** Names of operators. */
  readonly actors: ReadonlySet<string>;
  /** Kinds of the documents that were changed. */
  readonly kinds: ReadonlySet<string>;
  /** What changes are about, by name; also `*` and `shop/*`. */
  readonly services: ReadonlySet<string>;
  /** Whom access rules name as callers; also `*` and `shop/*`. */
  readonly callers: ReadonlySet<string>;
  /** Whether anything decides who may call whom. */
  readonly access: boolean;
  /** Milliseconds since 1970: of the earliest and the latest change. */
  readonly earliestMs: number;
  readonly latestMs: number;
  /** By document, the revisions at which it was changed. */
  readonly documents: ReadonlyMap<string, string>;
}

const EMPTY: ChangeIndex = {
  namespaces: new Set(),
  actors: new Set(),
  kinds: new Set(),
  services: new Set(),
  callers: new Set(),
  access: false,
  earliestMs: Number.MAX_SAFE_INTEGER,
  latestMs: 0,
  documents: new Map(),
};

/** The index of stretches of `every` revisions, the last of which its checkpoint is kept at. */
export function changeIndex(every: number = HISTORY_EVERY): Projection<ChangeIndex> {
  return {
    name: "changes",
    version: 2,
    initial: EMPTY,
    evolve: (before, change) => indexed((change.revision - 1) % every === 0 ? EMPTY : before, change),
  };
}

function indexed(index: ChangeIndex, { revision, namespace, change }: RecordedChange): ChangeIndex {
  const { events, actor } = change.data;
  const timeMs = Date.parse(change.time);
  return {
    namespaces: withAll(index.namespaces, [namespace]),
    actors: withAll(index.actors, [actor.name]),
    kinds: withAll(index.kinds, present(events.map(kindOfEvent))),
    services: withAll(index.services, events.flatMap(servicesOf)),
    callers: withAll(index.callers, events.flatMap(callersOf)),
    access: index.access || events.some(isAboutAccess),
    // Of a time that cannot be read nothing follows.
    earliestMs: Math.min(index.earliestMs, Number.isNaN(timeMs) ? 0 : timeMs),
    latestMs: Math.max(index.latestMs, Number.isNaN(timeMs) ? Number.MAX_SAFE_INTEGER : timeMs),
    documents: withRevision(index.documents, new Set(present(events.map(documentOfEvent))), revision),
  };
}

function present<T>(list: readonly (T | undefined)[]): T[] {
  return list.filter((value) => value !== undefined);
}

function withAll(known: ReadonlySet<string>, more: readonly string[]): ReadonlySet<string> {
  return more.every((value) => known.has(value)) ? known : new Set([...known, ...more]);
}

/** Revisions are kept as text, which is read for the documents that are asked about and no others. */
function withRevision(known: ReadonlyMap<string, string>, keys: ReadonlySet<string>, revision: number) {
  if (keys.size === 0) return known;
  const next = new Map(known);
  for (const key of keys) next.set(key, next.has(key) ? `${next.get(key)} ${revision}` : String(revision));
  return next;
}

/** All that `concernsService` of `history.ts` takes an event to be about. */
function servicesOf(event: DomainEvent): string[] {
  if (isMeshWide(event)) return [ALL];
  if (event.type === "RolledBack") return event.only === undefined ? [`${event.namespace}/*`] : [];
  const former = event.type === "RateLimitSet" && event.from !== undefined ? [event.from.service] : [];
  const service = serviceOfEvent(event);
  return [...(service === undefined ? [] : [service]), ...former.map((name) => `${namespaceOf(event)}/${name}`)];
}

function namespaceOf(event: DomainEvent): string {
  return "namespace" in event ? event.namespace : "";
}

function callersOf(event: DomainEvent): readonly string[] {
  if (!("rule" in event) || typeof event.rule !== "object") return [];
  return partsOf(event.rule).conditions.from ?? [ALL];
}

/** False: no change of the stretch can pass the filter. */
export function mayHold(index: ChangeIndex, filter: HistoryFilter): boolean {
  const { namespace, actor, kind, accessOnly, sinceMs, untilMs, service, source, destination } = filter;
  if (namespace !== undefined && !index.namespaces.has(namespace)) return false;
  if (actor !== undefined && !index.actors.has(actor)) return false;
  if (kind !== undefined && !index.kinds.has(kind)) return false;
  if (accessOnly === true && !index.access) return false;
  if (sinceMs !== undefined && index.latestMs < sinceMs) return false;
  if (untilMs !== undefined && index.earliestMs >= untilMs) return false;
  if (source !== undefined && !speaksOf(index.callers, source)) return false;
  if (destination !== undefined && !speaksOf(index.services, destination)) return false;
  return service === undefined || speaksOf(index.services, service) || speaksOf(index.callers, service);
}

function speaksOf(names: ReadonlySet<string>, service: ServiceRef): boolean {
  return names.has(service) || names.has(ALL) || names.has(`${parseServiceRef(service)?.namespace}/*`);
}

/** In order, the revisions at which any of the documents was changed. */
export function revisionsOf({ documents }: ChangeIndex, keys: Iterable<DocumentKey>): number[] {
  const revisions = new Set<number>();
  for (const key of keys) for (const text of documents.get(key)?.split(" ") ?? []) revisions.add(Number(text));
  return [...revisions].sort((a, b) => a - b);
}

const names = z.array(z.string()).transform((list) => new Set(list));

const stored = z.strictObject({
  namespaces: names,
  actors: names,
  kinds: names,
  services: names,
  callers: names,
  access: z.boolean(),
  earliestMs: z.number(),
  latestMs: z.number(),
  documents: z.array(z.tuple([z.string(), z.string().regex(/^\d+( \d+)*$/)])).transform((list) => new Map(list)),
});

export const changeIndexCodec: StateCodec<ChangeIndex> = {
  toJson({ namespaces, actors, kinds, services, callers, documents, ...rest }) {
    const sorted = Object.entries({ namespaces, actors, kinds, services, callers }).map(([name, set]) => [
      name,
      [...set].sort(),
    ]);
    return { ...rest, ...Object.fromEntries(sorted), documents: [...documents].sort(([a], [b]) => (a < b ? -1 : 1)) };
  },
  fromJson: (data) => stored.parse(data),
};
