/**
 * What a sidecar reports to the traffic ledger: which calls there were in an interval, by caller, callee, method, path
 * template and what was decided. A border type: sidecars write it, operators' commands read it.
 */

import { z } from "zod";
import { parseServiceRef, type ServiceRef, serviceRef } from "../policy/names.ts";
import { LATENCY_BUCKET_MAX } from "./latency-sketch.ts";

/**
 * What became of calls.
 * - `allowed`: they reached the application.
 * - `denied`: by access rules, of the called side or because nothing lets the caller reach it.
 * - `limited`: more than a rate limit lets through.
 * - `unrouted`: no rule of the route matches, or one that leads nowhere.
 * - `failed`: nobody was there to take them, or the circuit was open.
 */
export const CALL_DECISIONS = ["allowed", "denied", "limited", "unrouted", "failed"] as const;
export type CallDecision = (typeof CALL_DECISIONS)[number];

/** Calls that one summary may tell apart: 100 bytes each, so that a summary is far below what a message may hold. */
export const SUMMARY_CALLS_MAX = 2_000;
/** No method that rules speak of is longer; nor is a template that a sidecar keeps apart. */
const METHOD_LENGTH_MAX = 64;
const PATH_LENGTH_MAX = 1_024;

const service = z.string().transform((text, context): ServiceRef => {
  const parsed = parseServiceRef(text);
  if (parsed !== undefined) return serviceRef(parsed.namespace, parsed.name);
  context.addIssue({ code: "custom", message: "is no NAMESPACE/NAME" });
  return z.NEVER;
});
const count = z.int().min(0);

const trafficCall = z.strictObject({
  /** Null: nobody whom a certificate or policy names. */
  source: service.nullable(),
  destination: service.nullable(),
  /** `*`: one of too many. */
  method: z.string().max(METHOD_LENGTH_MAX),
  /** `/orders/{}`; `*` for all that there was no room to tell apart; empty for TCP connections. */
  path: z.string().max(PATH_LENGTH_MAX),
  decision: z.enum(CALL_DECISIONS),
  count: count.min(1),
  /** Of these calls: answered with 5xx, or not at all. */
  errors: count,
  /** Durations in the buckets of `LatencySketch`. */
  latency: z.array(z.tuple([z.int().min(0).max(LATENCY_BUCKET_MAX), count.min(1)])).max(LATENCY_BUCKET_MAX + 1),
});

const trafficSummary = z.strictObject({
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
  calls: z.array(trafficCall).max(SUMMARY_CALLS_MAX),
});

export type TrafficCall = z.infer<typeof trafficCall>;
export type TrafficSummary = z.infer<typeof trafficSummary>;

/** Checked at both ends of the channel between a sidecar and its workers as well. */
export const trafficCalls = z.array(trafficCall).max(SUMMARY_CALLS_MAX);

/** The summary in a message; undefined for what is none. */
export function decodeTrafficSummary(data: Uint8Array): TrafficSummary | undefined {
  try {
    return trafficSummary.parse(JSON.parse(new TextDecoder().decode(data)));
  } catch {
    return undefined;
  }
}

export function encodeTrafficSummary(summary: TrafficSummary): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(summary));
}
