/**
 * What a sidecar reports to the traffic ledger: which calls there were in an interval, by caller, callee, method, path
 * template and what was decided. A border type: sidecars write it, operators' commands read it, and either may be of a
 * later version: fields that are not known are left out of account.
 */

import { z } from "zod";
import { parseServiceRef, type ServiceRef } from "../policy/names.ts";
import { LATENCY_BUCKET_MAX, type LatencyCounts } from "./latency-sketch.ts";

/**
 * What became of calls.
 * - `allowed`: they reached the application.
 * - `denied`: by access rules, of the called side or because nothing lets the caller reach it.
 * - `limited`: more than a rate limit lets through.
 * - `unrouted`: no rule of the route matches, or one that leads nowhere.
 * - `failed`: nobody was there to take them, the circuit was open, or they were made to fail on purpose.
 */
export const CALL_DECISIONS = ["allowed", "denied", "limited", "unrouted", "failed"] as const;
export type CallDecision = (typeof CALL_DECISIONS)[number];

/** Calls that one summary may tell apart: 100 bytes each, so that a summary is far below what a message may hold. */
export const SUMMARY_CALLS_MAX = 2_000;
/** No method that rules speak of is longer; nor is a template that a sidecar keeps apart. */
const METHOD_LENGTH_MAX = 64;
const PATH_LENGTH_MAX = 1_024;

const count = z.int().min(0);

/** Calls of one kind in an interval. */
export interface TrafficCall {
  /** Null: nobody whom a certificate or policy names. */
  readonly source: ServiceRef | null;
  readonly destination: ServiceRef | null;
  /** `*`: one of too many. */
  readonly method: string;
  /** `/orders/{}`; `*` for all that there was no room to tell apart; empty for TCP connections. */
  readonly path: string;
  readonly decision: CallDecision;
  readonly count: number;
  /** Of these calls: answered with 5xx or gRPC's like, or not at all. */
  readonly errors: number;
  /** Durations, in the buckets of `LatencySketch`. */
  readonly latency: LatencyCounts;
}

/** Calls of one kind, added up over what was decided of them. */
export interface DecidedCall extends Omit<TrafficCall, "decision"> {
  readonly decisions: Partial<Record<CallDecision, number>>;
}

/** Twice as many as there are: later versions may tell more of a call, and no message may tell without end. */
const FIELDS_MAX = 16;

/**
 * Checked by hand: a day of a hundred services has two million of them, on each of which a schema spends 1.7 µs and
 * this 0.2 µs.
 */
function isTrafficCall(value: unknown): value is TrafficCall {
  return isCountedCall(value) && DECISIONS.has((value as Partial<TrafficCall>).decision);
}

/** Likewise for calls of one kind that were decided in several ways; here nothing is left out of account. */
export function isDecidedCall(value: unknown): value is DecidedCall {
  if (!isCountedCall(value)) return false;
  const { decisions } = value as Partial<Record<keyof DecidedCall, unknown>>;
  if (typeof decisions !== "object" || decisions === null) return false;
  return Object.entries(decisions).every(([decision, count]) => DECISIONS.has(decision) && isCount(count));
}

function isCountedCall(value: unknown): value is Omit<TrafficCall, "decision"> {
  if (typeof value !== "object" || value === null || Object.keys(value).length > FIELDS_MAX) return false;
  const { source, destination, method, path, count, errors, latency } = value as Partial<
    Record<keyof TrafficCall, unknown>
  >;
  return (
    isService(source) &&
    isService(destination) &&
    typeof method === "string" &&
    method.length <= METHOD_LENGTH_MAX &&
    typeof path === "string" &&
    path.length <= PATH_LENGTH_MAX &&
    isCount(count) &&
    isCount(errors) &&
    Array.isArray(latency) &&
    latency.length <= 2 * (LATENCY_BUCKET_MAX + 1) &&
    latency.every(isCount)
  );
}

const DECISIONS: ReadonlySet<unknown> = new Set(CALL_DECISIONS);

function isService(value: unknown): boolean {
  return value === null || (typeof value === "string" && parseServiceRef(value) !== undefined);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Checked at both ends of the channel between a sidecar and its workers as well. */
export const trafficCalls = z.custom<TrafficCall[]>(
  (value) => Array.isArray(value) && value.length <= SUMMARY_CALLS_MAX && value.every(isTrafficCall),
  { error: "are no calls" },
);

export const trafficSummary = z.object({
  schema: z.literal(1),
  instance: z.string().max(253),
  /** Start of the instance and number of the summary: one that was stored twice is counted once. */
  epoch: z.int(),
  sequence: z.int().min(1),
  /** Milliseconds since 1970. */
  fromMs: z.int().min(0),
  toMs: z.int().min(0),
  /** Calls that are in no summary, since the instance started: there was no room, or nobody stored it. */
  droppedCalls: count,
  calls: trafficCalls,
});

export type TrafficSummary = z.infer<typeof trafficSummary>;

/** The summary in a message; undefined for what is none. */
export function decodeTrafficSummary(data: Uint8Array): TrafficSummary | undefined {
  try {
    return trafficSummary.parse(JSON.parse(new TextDecoder().decode(data)));
  } catch {
    return undefined;
  }
}

/** The bytes of a report, in JSON. */
export function encodeTrafficSummary(summary: TrafficSummary): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(summary));
}
