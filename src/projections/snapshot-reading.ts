/**
 * Validates a snapshot piece by piece, and of what it says anew only. That of a service with a thousand upstreams takes tens
 * of milliseconds, for which no request should have to wait: whoever reads one decides what happens between the pieces.
 */

import { z } from "zod";
import { isRecord, isSameJson, ownField, parseJson } from "../policy/json.ts";
import {
  ENDPOINTS_MAX,
  type Endpoint,
  type EndpointSet,
  endpointSet,
  type ServiceSnapshot,
  type SnapshotUpstream,
  serviceSnapshot,
  snapshotUpstream,
} from "./snapshot.ts";
import { type SnapshotRouteRule, snapshotRouteRule } from "./snapshot-route.ts";
import type { KnownText, SnapshotText, Span } from "./snapshot-text.ts";

/** Too few to take long, and enough that nobody looks at the clock for each. */
const ENDPOINTS_PER_PIECE = 100;

const frame = serviceSnapshot.extend({ upstreams: z.record(z.string(), z.unknown()) });
const upstreamFrame = snapshotUpstream.extend({ routes: z.array(z.unknown()) });
const ruleFields: ReadonlyMap<string, z.ZodType> = new Map(Object.entries(snapshotRouteRule.shape));

/** What came of a snapshot's text. */
export interface ReadSnapshot extends KnownText {
  /** Its upstreams are the very objects that were known of the text before, where that said the same of them. */
  readonly snapshot: ServiceSnapshot;
}

/** Yields after each upstream; returns what was read, or why the text is no snapshot. */
export function* readSnapshot(text: SnapshotText): Generator<void, ReadSnapshot | string> {
  const framed = frame.safeParse(text.frame);
  if (!framed.success) return reasonOf(framed.error, []);
  const upstreams: [ref: string, SnapshotUpstream][] = [];
  const places = new Map<string, Span & { readonly upstream: SnapshotUpstream }>();
  for (const ref of text.upstreams?.keys() ?? Object.keys(framed.data.upstreams)) {
    const place = text.upstreams?.get(ref);
    const read =
      place?.known ?? readUpstream(ref, place ? parsed(text, place) : framed.data.upstreams[ref], place?.before);
    if (typeof read === "string") return read;
    upstreams.push([ref, read]);
    if (place !== undefined) places.set(ref, { start: place.start, end: place.end, upstream: read });
    yield;
  }
  const snapshot = { ...framed.data, upstreams: Object.fromEntries(upstreams) };
  return { snapshot, bytes: text.bytes, upstreams: places };
}

function parsed({ bytes }: SnapshotText, { start, end }: Span): unknown {
  return parseJson(bytes.subarray(start, end));
}

function readUpstream(ref: string, value: unknown, before: SnapshotUpstream | undefined): SnapshotUpstream | string {
  if (value === undefined) return `upstreams.${ref}: it is no JSON`;
  const framed = upstreamFrame.safeParse(value);
  if (!framed.success) return reasonOf(framed.error, ["upstreams", ref]);
  const routes: SnapshotRouteRule[] = [];
  for (const [at, unread] of framed.data.routes.entries()) {
    const read = readRule(unread, before?.routes[at]);
    if (!read.success) return reasonOf(read.error, ["upstreams", ref, "routes", String(at)]);
    routes.push(read.data);
  }
  return { ...framed.data, routes };
}

/**
 * Of a rule that was there before, only the fields that say something else: mostly a few of many, and validating one takes
 * longer than comparing it. What was read before is what would be read again, as no schema changes what it has made.
 */
function readRule(value: unknown, before: SnapshotRouteRule | undefined): z.ZodSafeParseResult<SnapshotRouteRule> {
  const anew = before && readFieldsAnew(value, before);
  return before && anew ? { success: true, data: { ...before, ...anew } } : snapshotRouteRule.safeParse(value);
}

/** Undefined: one is wrong, or was there before and is not any more. */
function readFieldsAnew(value: unknown, before: SnapshotRouteRule): Record<string, unknown> | undefined {
  if (!isRecord(value)) return undefined;
  for (const name in before) if (!Object.hasOwn(value, name)) return undefined;
  const anew: Record<string, unknown> = {};
  for (const name in value) {
    if (isSameJson(value[name], ownField(before, name))) continue;
    const read = ruleFields.get(name)?.safeParse(value[name]);
    if (read?.success !== true) return undefined;
    anew[name] = read.data;
  }
  return anew;
}

const setFrame = endpointSet.extend({ endpoints: z.array(z.unknown()).max(ENDPOINTS_MAX) });
const { element: endpoint } = endpointSet.shape.endpoints;

/** The same for a set of endpoints, of which a service may have thousands. */
export function* readEndpointSet(value: unknown): Generator<void, EndpointSet | string> {
  const framed = setFrame.safeParse(value);
  if (!framed.success) return reasonOf(framed.error);
  const endpoints: Endpoint[] = [];
  for (const [at, unread] of framed.data.endpoints.entries()) {
    const read = endpoint.safeParse(unread);
    if (!read.success) return reasonOf(read.error, ["endpoints", String(at)]);
    endpoints.push(read.data);
    if (endpoints.length % ENDPOINTS_PER_PIECE === 0) yield;
  }
  return { ...framed.data, endpoints };
}

/** The first thing that is wrong, and where. */
export function reasonOf({ issues }: z.ZodError, within: readonly string[] = []): string {
  const [issue] = issues;
  const message = issue?.message ?? "not understood";
  const path = [...within, ...(issue?.path ?? [])];
  return path.length === 0 ? message : `${path.join(".")}: ${message}`;
}
