/**
 * A control replica, put together. Any number of them run at once and share nothing but the ledger and the buckets:
 * each folds the log and publishes on its own, and requests reach one of them. Whatever a replica holds, it can fold
 * or hear again.
 */

import type { KeyCustody } from "../ca/custody.ts";
import { openAuthorityIn } from "../ca/open-authority.ts";
import { serveSigning } from "../ca/sign-service.ts";
import { openEventLog } from "../events/jetstream-log.ts";
import type { MeshState } from "../events/state.ts";
import { openBucket } from "../nats/buckets.ts";
import type { Bucket } from "../nats/bus.ts";
import type { NatsBus } from "../nats/connection.ts";
import { CHECKPOINT_BUCKET, CONFIG_BUCKET, ENDPOINT_BUCKET } from "../nats/subjects.ts";
import { checkpointKey, decodeCheckpoint } from "../projections/checkpoint.ts";
import { EndpointPublisher } from "../projections/endpoint-publisher.ts";
import { meshProjection } from "../projections/projection.ts";
import { runProjection } from "../projections/runner.ts";
import { SnapshotPublisher } from "../projections/snapshot-store.ts";
import { meshStateCodec } from "../projections/state-codec.ts";
import type { Logger } from "../telemetry/logger.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { CLOCK_TOLERANCE_MS } from "./admission.ts";
import { bootstrap, type FirstOperator } from "./bootstrap.ts";
import { CommandService } from "./command-service.ts";
import { ControlMetrics } from "./control-metrics.ts";
import { Convergence } from "./convergence.ts";
import { Ledger } from "./ledger.ts";
import { type ListenAddress, serveMonitoring } from "./monitoring.ts";
import { serveQueries } from "./query-service.ts";
import { RecentCommands } from "./recent-commands.ts";
import { Roster } from "./roster.ts";

/** Life of a leaf where nobody says otherwise. */
const LEAF_TTL_MS = 24 * 3_600_000;
/** How often the issuing certificate is looked after; it is replaced months before its end. */
const RENEWAL_INTERVAL_MS = 24 * 3_600_000;
/** Three heartbeats of five seconds: one may be lost and one late. */
const INSTANCE_TTL_MS = 15_000;
/** Silence is looked for this many times within one life. */
const LOOKS_PER_TTL = 5;

export interface ControlOptions {
  /** A control user's connection, which remains the caller's to close. */
  readonly bus: NatsBus;
  /** Keys of the certificate authority, the same for every replica. */
  readonly custody: KeyCustody;
  readonly trustDomain: string;
  /** Written into an empty ledger; means nothing to any other. */
  readonly operator?: FirstOperator;
  /** Where `/metrics` and `/healthz` are. */
  readonly listen: ListenAddress;
  readonly leafTtlMs?: number;
  /** JetStream replicas of what this one is the first to make; 1 by default. */
  readonly streamReplicas?: number;
  /** Silence after which an instance is taken for dead. */
  readonly instanceTtlMs?: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** A new unique id for each change. */
  readonly newId: () => string;
  readonly logger: Logger;
}

export interface ControlReplica {
  /** Last revision folded. */
  readonly revision: number;
  /** Where it can be scraped, such as `http://127.0.0.1:15014`. */
  readonly url: string;
  /** Rejects when it can go on no longer, as at an event that it does not know. Never resolves. */
  readonly failed: Promise<never>;
  /** Resolves when every snapshot and endpoint set that is due has been published. */
  settled(): Promise<void>;
  /** Takes nothing more, finishes what was taken, and ends. */
  stop(): Promise<void>;
}

/**
 * Starts a replica; resolves when it answers. Rejects with `BootstrapError`, `CustodyError` or `StreamMismatch` where
 * what it is given does not belong together, with `LogCorruption` where it cannot read the ledger.
 */
export async function startControl(options: ControlOptions): Promise<ControlReplica> {
  await using stack = new AsyncDisposableStack();
  const { projection, url, settled } = await startParts(options, stack);
  const parts = stack.move();
  return {
    get revision() {
      return projection.revision;
    },
    url,
    failed: projection.failed,
    settled,
    stop: () => parts.disposeAsync(),
  };
}

/** Starts every part in the order of need, and leaves on the stack how each is ended. */
async function startParts(options: ControlOptions, stack: AsyncDisposableStack) {
  const { bus, trustDomain, now, random, newId, logger } = options;
  const warn = (message: string): void => logger.warn({}, message);
  const replicas = { replicas: options.streamReplicas ?? 1 };
  const ttlMs = options.instanceTtlMs ?? INSTANCE_TTL_MS;

  const authority = await keepAuthority(options, stack);
  const log = await openEventLog(bus, replicas);
  const checkpoints = await openBucket(bus, CHECKPOINT_BUCKET, replicas);
  const snapshots = new SnapshotPublisher({
    bus,
    bucket: await openBucket(bus, CONFIG_BUCKET, replicas),
    warn,
    random,
  });
  const roster = new Roster(ttlMs);
  const metrics = new ControlMetrics();
  const recent = new RecentCommands(2 * CLOCK_TOLERANCE_MS);
  const endpoints = new EndpointPublisher({
    bus,
    bucket: await openBucket(bus, ENDPOINT_BUCKET, replicas),
    now,
    random,
    warn,
    ttlMs,
    onStatus: (status) => {
      if (roster.hear(status, now()) !== "nothing") convergence.heard(status);
    },
  });
  const convergence = new Convergence({
    roster,
    registry: endpoints.registry,
    publisher: snapshots,
    now,
    observe: (durationMs) => metrics.converged(durationMs),
  });

  const projection = await runProjection({
    log,
    projection: meshProjection,
    checkpoints: { bucket: checkpoints, codec: meshStateCodec },
    onChange: (before, after, change) => {
      snapshots.changed(before, after, change);
      convergence.changed(change.revision);
      metrics.recorded(change);
      recent.recorded(change);
    },
    warn,
    random,
  });
  stack.defer(() => projection.stop());

  const ledger = new Ledger({ log, projection, now, newId });
  const { rootFingerprint: fingerprint, rootPem: pem } = authority();
  const { operator } = options;
  const first = await bootstrap(ledger, {
    trustDomain,
    root: { fingerprint, pem },
    newId,
    ...(operator === undefined ? {} : { operator }),
  });
  stack.defer(() => snapshots.stop());
  await snapshots.start(first);
  stack.defer(() => endpoints.stop());
  await endpoints.start();
  watchSilence({ ...options, roster, convergence, ttlMs }, stack);

  const page = new MetricsPage(
    metrics.families({ revision: () => projection.revision, instances: () => roster.connected(now()) }),
  );
  const monitoring = serveMonitoring({
    address: options.listen,
    page,
    ailment: () => (bus.connected ? undefined : "NATS is out of reach"),
  });
  stack.defer(() => monitoring.stop());

  const signing = serveSigning(bus, {
    trustDomain,
    ttlMs: options.leafTtlMs ?? LEAF_TTL_MS,
    issuer: () => authority().issuer,
    bundle: () => trustedRoots(projection.state),
    now,
    audit: (line) => logger.info({ ...line }, "certificate requested"),
  });
  stack.defer(() => signing.stop());
  const state = (): MeshState => projection.state;
  const expectedRevision = snapshots.expectedRevision.bind(snapshots);
  const queries = serveQueries({ bus, state, expectedRevision, roster, convergence, now, logger });
  stack.defer(() => {
    queries.stop();
    convergence.stop();
  });
  const commands = new CommandService({
    bus,
    ledger,
    recent,
    checkpoint: () => readCheckpoint(checkpoints),
    now,
    logger,
  });
  stack.defer(() => commands.stop());
  await commands.start();
  // What the server does not know of yet nobody can reach.
  await bus.flush();
  const settled = async (): Promise<void> => {
    await Promise.all([snapshots.settled(), endpoints.settled()]);
  };
  return { projection, url: monitoring.url, settled };
}

/** Opens the authority, and opens it again every day, which is how its issuing certificate is renewed in time. */
async function keepAuthority({ custody, trustDomain, now, logger }: ControlOptions, stack: AsyncDisposableStack) {
  let authority = await openAuthorityIn(custody, { trustDomain, nowMs: now() });
  const renew = async (): Promise<void> => {
    try {
      authority = await openAuthorityIn(custody, { trustDomain, nowMs: now() });
    } catch (error) {
      logger.error({ err: error }, "the certificate authority could not be opened again; the former one stays");
    }
  };
  const timer = setInterval(() => void renew(), RENEWAL_INTERVAL_MS);
  stack.defer(() => clearInterval(timer));
  return () => authority;
}

interface SilenceOptions extends Pick<ControlOptions, "bus" | "now" | "logger"> {
  readonly roster: Roster;
  readonly convergence: Convergence;
  readonly ttlMs: number;
}

/** Notices who has fallen silent, and does not take for silence that we could not hear. */
function watchSilence({ bus, now, logger, roster, convergence, ttlMs }: SilenceOptions, stack: AsyncDisposableStack) {
  const forget = bus.onConnection((event) => {
    if (event !== "connected") return logger.warn({}, `connection to NATS: ${event}`);
    logger.info({}, "connection to NATS is back");
    roster.touchAll(now());
  });
  stack.defer(() => void forget());
  const timer = setInterval(() => {
    if (!bus.connected) return roster.touchAll(now());
    roster.forget(now());
    convergence.advance();
  }, ttlMs / LOOKS_PER_TTL);
  stack.defer(() => clearInterval(timer));
}

function trustedRoots({ roots }: MeshState): string[] {
  return [...roots.values()].filter(({ status }) => status !== "retired").map(({ pem }) => pem);
}

/** The state that the last checkpoint holds, if there is one that can be read. */
async function readCheckpoint(bucket: Bucket): Promise<MeshState | undefined> {
  const entry = await bucket.get(checkpointKey(meshProjection));
  const decoded = entry && decodeCheckpoint(meshProjection, meshStateCodec, entry.value);
  return decoded?.ok === true ? decoded.value.state : undefined;
}
