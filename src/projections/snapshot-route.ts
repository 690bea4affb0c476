/** The part of a snapshot that says where the calls of one service go, and what is done to them on the way. */

import { z } from "zod";
import { headerChanges, redirect, respond, rewrite, routeMatch } from "../policy/schema.ts";
import { ruleOrigin } from "./rule-origin.ts";
import { snapshotHashKey, snapshotRetries } from "./snapshot-resilience.ts";

const weightedBackend = z.strictObject({
  /** `namespace/name`; absent: the service that was called. */
  service: z.string().optional(),
  /** Absent: every endpoint of the service. */
  subset: z.string().optional(),
  weight: z.int().min(0),
  headers: headerChanges.optional(),
});

const snapshotCors = z.strictObject({
  origins: z.array(z.string()),
  methods: z.array(z.string()),
  headers: z.array(z.string()),
  exposeHeaders: z.array(z.string()),
  credentials: z.boolean(),
  maxAgeS: z.int().min(0).optional(),
});

const snapshotMirror = z.strictObject({
  service: z.string().optional(),
  subset: z.string().optional(),
  percent: z.number().min(0).max(100),
});

const snapshotFault = z.strictObject({
  delay: z
    .strictObject({
      /** Absent: `percentiles` say how long. */
      fixedMs: z.int().min(1).optional(),
      /** By rank. */
      percentiles: z.array(z.strictObject({ percentile: z.number(), ms: z.int().min(1) })).optional(),
      percent: z.number(),
    })
    .optional(),
  bandwidth: z
    .strictObject({
      bytesPerSecond: z.int().min(1),
      /** Absent: both. */
      direction: z.enum(["request", "response"]).optional(),
      percent: z.number(),
    })
    .optional(),
  abort: z
    .strictObject({
      status: z.int().optional(),
      grpcStatus: z.int().optional(),
      reset: z.literal(true).optional(),
      percent: z.number(),
    })
    .optional(),
});

const snapshotSticky = z.union([
  ...snapshotHashKey.options,
  z.strictObject({
    cookie: z.string(),
    issue: z.strictObject({ maxAgeS: z.int().min(1).optional(), path: z.string(), secure: z.boolean() }),
  }),
]);

/** What an operator injects, whatever the route is; the first that matches is it. */
export const snapshotInjectedFault = z.strictObject({
  id: z.string(),
  /** Alternatives; an empty list matches every request. */
  match: z.array(routeMatch),
  fault: snapshotFault,
  revision: z.int().min(0),
  actor: z.string(),
});

export const snapshotRouteRule = z.strictObject({
  /** Alternatives; an empty list matches every request. */
  match: z.array(routeMatch),
  backends: z.array(weightedBackend),
  sticky: snapshotSticky.optional(),
  timeoutMs: z.int().min(1).optional(),
  idleTimeoutMs: z.int().min(1).optional(),
  retries: snapshotRetries.optional(),
  headers: headerChanges.optional(),
  rewrite: rewrite.optional(),
  redirect: redirect.optional(),
  respond: respond.optional(),
  cors: snapshotCors.optional(),
  requestBytesMax: z.int().min(1).optional(),
  mirror: snapshotMirror.optional(),
  fault: snapshotFault.optional(),
  origin: ruleOrigin,
});

export type SnapshotRouteRule = z.infer<typeof snapshotRouteRule>;
export type SnapshotInjectedFault = z.infer<typeof snapshotInjectedFault>;
export type SnapshotSticky = z.infer<typeof snapshotSticky>;
export type SnapshotCors = z.infer<typeof snapshotCors>;
export type SnapshotFault = z.infer<typeof snapshotFault>;
export type SnapshotMirror = z.infer<typeof snapshotMirror>;
