/**
 * What a sidecar and its workers say to each other, over the channel that comes with a child process. Checked at both
 * ends as anything from outside is: the two may be of different versions while a program is being replaced.
 */

import { z } from "zod";
import { endpointSet, quotaReply, quotaRequest, serviceSnapshot } from "../../../projections/snapshot.ts";
import { metricReport } from "../../../telemetry/metric-sum.ts";
import { trafficCalls } from "../../../telemetry/traffic-summary.ts";

const address = z.strictObject({ host: z.string(), port: z.int().min(0).max(65_535) });

/** Where the workers listen, all of them on the same addresses. */
const listenerAddresses = z.strictObject({
  inbound: address,
  outbound: address,
  outboundTls: address.optional(),
  upstreams: z.array(address).readonly(),
});

const tlsIdentity = z.strictObject({
  certificateChain: z.string(),
  privateKey: z.string(),
  trustBundle: z.string(),
  trustDomain: z.string(),
});

/** To a worker; they take effect in the order in which they are sent. */
export const workerOrder = z.discriminatedUnion("kind", [
  /** The first: where it will listen, and of which mesh it is. */
  z.strictObject({ kind: z.literal("start"), trustDomain: z.string(), addresses: listenerAddresses }),
  z.strictObject({ kind: z.literal("identity"), identity: tlsIdentity }),
  /** A part of the snapshot to come: upstreams of which something new is said. */
  z.strictObject({ kind: z.literal("upstreams"), upstreams: serviceSnapshot.shape.upstreams }),
  /** All else of it, with the upstreams that it has: those told of since, and those of the one in force. */
  z.strictObject({
    kind: z.literal("snapshot"),
    snapshot: serviceSnapshot.omit({ upstreams: true }),
    upstreams: z.array(z.string()),
  }),
  z.strictObject({ kind: z.literal("endpoints"), set: endpointSet }),
  z.strictObject({ kind: z.literal("listen") }),
  z.strictObject({ kind: z.literal("report"), id: z.int() }),
  z.strictObject({ kind: z.literal("traffic"), id: z.int() }),
  /** The answer to a worker's question; no reply: there was none. */
  z.strictObject({ kind: z.literal("quota"), id: z.int(), reply: quotaReply.optional() }),
  z.strictObject({ kind: z.literal("drain"), timeoutMs: z.number() }),
  z.strictObject({ kind: z.literal("close") }),
]);

export type WorkerOrder = z.infer<typeof workerOrder>;

const clusterView = z.strictObject({
  service: z.string(),
  spiffeId: z.string().optional(),
  version: z.int(),
  endpoints: z
    .array(
      z.strictObject({
        instance: z.string(),
        address: z.string(),
        labels: z.record(z.string(), z.string()),
        activeRequests: z.int(),
        pendingRequests: z.int(),
        connections: z.int(),
        ejected: z.boolean(),
        avoided: z.string().optional(),
      }),
    )
    .readonly(),
});

/** From a worker. */
export const workerNews = z.discriminatedUnion("kind", [
  /** It is there, and waits for `start`. */
  z.strictObject({ kind: z.literal("hello") }),
  z.strictObject({ kind: z.literal("listening") }),
  /** It cannot do what it was told, and ends. */
  z.strictObject({ kind: z.literal("failed"), message: z.string() }),
  z.strictObject({ kind: z.literal("enforcing"), revision: z.int() }),
  z.strictObject({
    kind: z.literal("report"),
    id: z.int(),
    metrics: metricReport,
    clusters: z.array(clusterView),
  }),
  z.strictObject({ kind: z.literal("traffic"), id: z.int(), calls: trafficCalls, dropped: z.int().min(0) }),
  /** It needs tokens of rate limits. */
  z.strictObject({ kind: z.literal("quota"), id: z.int(), request: quotaRequest }),
  z.strictObject({ kind: z.literal("drained"), connections: z.int() }),
]);

export type WorkerNews = z.infer<typeof workerNews>;
