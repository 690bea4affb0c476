/**
 * A control replica, put together. Any number of them run at once and share nothing but the ledger and the buckets:
 * each folds the log and publishes on its own, and requests reach one of them. Whatever a replica holds, it can fold
 * or hear again.
 */

import type { KeyCustody } from "../ca/custody.ts";
import type { Authority } from "../ca/open-authority.ts";
import type { RecordedChange } from "../events/change.ts";
import { openEventLog } from "../events/jetstream-log.ts";
import type { MeshState } from "../events/state.ts";
import type { Accounts } from "../nats/accounts.ts";
import { openBucket } from "../nats/buckets.ts";
import { largeValues } from "../nats/large-values.ts";
import type { NatsBus } from "../nats/nats-bus.ts";
import { CHECKPOINT_BUCKET, CONFIG_BUCKET, ENDPOINT_BUCKET } from "../nats/subjects.ts";
import { ensureTrafficStream } from "../nats/traffic-stream.ts";
import { meshProjection, type Projection } from "../projections/projection.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MetricFamily } from "../telemetry/metric-family.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { bootstrap, checkTrustDomain, type FirstOperator } from "./bootstrap.ts";
import { ControlMetrics } from "./control-metrics.ts";
import { CredentialService } from "./credential-service.ts";
import { FaultExpiry } from "./fault-expiry.ts";
import { keepAuthority } from "./keep-authority.ts";
import { Ledger } from "./ledger.ts";
import { foldLedger } from "./ledger-fold.ts";
import { type ListenAddress, serveMonitoring } from "./monitoring.ts";
import { createPublication, type Publication } from "./publication.ts";
import { ReplicaRegistry, type ReplicaRegistryOptions } from "./replica-registry.ts";
import { serveAll } from "./replica-services.ts";
import { RotationDriver } from "./rotation-driver.ts";
import { RollupKeeper, type RollupKeeperOptions } from "./traffic-rollups.ts";

export interface ControlOptions {
  /** A control user's connection, which remains the caller's to close. */
  readonly bus: NatsBus;
  /**
   * Another one, to hear workloads on: whoever has credentials of a single sidecar can flood it, and operators'
   * commands and questions must not wait behind that. `bus` by default.
   */
  readonly heard?: NatsBus;
  /** Keys of the certificate authority, the same for every replica. */
  readonly custody: KeyCustody;
  readonly trustDomain: string;
  /**
   * The keys of the NATS accounts at work, which remain the caller's to close; absent where another replica has them.
   */
  readonly accounts?: Accounts;
  /** Written into an empty ledger; means nothing to any other. */
  readonly operator?: FirstOperator;
  /** Where `/metrics` and `/healthz` are. */
  readonly listen: ListenAddress;
  /** Of the program, for whoever asks which replicas there are. */
  readonly version?: string;
  readonly leafTtlMs?: number;
  /** The fold of the ledger; a replica of another version of this program has another one. */
  readonly fold?: Projection<MeshState>;
  /** JetStream replicas of what this one is the first to make; 1 by default. */
  readonly streamReplicas?: number;
  /** Silence after which an instance is taken for dead. */
  readonly instanceTtlMs?: number;
  /** Instances of one service that are kept. */
  readonly instancesPerService?: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** A new unique id for each change. */
  readonly newId: () => string;
  readonly logger: Logger;
}

/** A replica that runs. */
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
  const { bus, now } = options;
  const warn = (message: string): void => options.logger.warn({}, message);
  const state = (): MeshState => projection.state;
  const { log, checkpoints, ...buckets } = await openStores(bus, options.streamReplicas ?? 1);
  const metrics = new ControlMetrics();
  const publication = createPublication({
    ...options,
    ...buckets,
    converged: (durationMs) => metrics.converged(durationMs),
    refused: (reason) => metrics.refusedStatus(reason),
  });
  const credentials = new CredentialService({
    ...options,
    accounts: options.accounts,
    state,
    latest: () => ledger.latest(),
  });
  const onChange = (before: MeshState, after: MeshState, change: RecordedChange): void => {
    publication.snapshots.changed(before, after, change);
    publication.convergence.changed(change.revision);
    metrics.recorded(change);
    if (before.revokedKeys !== after.revokedKeys) credentials.check();
  };
  const projectionOf = options.fold ?? meshProjection;
  const fold = await foldLedger({ ...options, log, checkpoints, projection: projectionOf, onChange, warn }, stack);
  const { projection } = fold;
  keepRollups({ bus, bucket: checkpoints, warn }, stack);
  const ledger = new Ledger({ ...options, log, projection });
  const found = await ledger.latest();
  // First, since keys of another mesh's authority are nothing to look for here.
  checkTrustDomain(found, options.trustDomain);
  const keeper = await keepAuthority(options, found, stack);
  const first = await begin(ledger, keeper.current, options);
  guardCredentials(credentials, bus, stack);
  await publish(publication, first, stack);
  const authorityExpiry = () => {
    const { rootNotAfterMs: rootMs, issuer } = keeper.current;
    return { rootMs, issuerMs: issuer.notAfterMs };
  };
  const revision = (): number => projection.revision;
  const instances = (): number => publication.roster.connected(now());
  const url = monitor(options, metrics.families({ authorityExpiry, revision, instances }), stack);
  const rotation = new RotationDriver({ ...options, ledger, keeper, acknowledgements: publication.acknowledgements });
  stack.defer(rotation.start(state));
  stack.defer(new FaultExpiry({ ...options, ledger, state }).start());
  const peers = announce(options, { revision, cannotSign: () => keeper.fault }, stack);
  const parts = { metrics, keeper, rotation, ledger, publication, credentials, peers, authorityExpiry };
  await serveAll({ ...options, ...fold, ...parts }, stack);
  const settled = async (): Promise<void> => {
    await Promise.all([publication.snapshots.settled(), publication.endpoints.settled()]);
  };
  return { projection, url, settled };
}

/** Streams and buckets, made where there are none yet. */
async function openStores(bus: NatsBus, count: number) {
  const replicas = { replicas: count };
  const stores = {
    log: await openEventLog(bus, replicas),
    checkpoints: largeValues(await openBucket(bus, CHECKPOINT_BUCKET, replicas)),
    configBucket: await openBucket(bus, CONFIG_BUCKET, replicas),
    endpointBucket: await openBucket(bus, ENDPOINT_BUCKET, replicas),
  };
  await ensureTrafficStream(bus, replicas);
  return stores;
}

/** Adds up the traffic ledger until the stack is unwound. */
function keepRollups(options: RollupKeeperOptions, stack: AsyncDisposableStack): void {
  const rollups = new RollupKeeper(options);
  stack.defer(() => rollups.stop());
  rollups.start();
}

/** What was revoked while nobody was connected, the server must hear of again. */
function guardCredentials(credentials: CredentialService, bus: NatsBus, stack: AsyncDisposableStack): void {
  stack.defer(() => credentials.stop());
  stack.defer(bus.onConnection((event) => event === "connected" && credentials.check({ again: true })));
  credentials.start();
}

/** Sends what is due, and follows what instances say, until the stack is unwound. */
async function publish(publication: Publication, first: MeshState, stack: AsyncDisposableStack): Promise<void> {
  const { snapshots, endpoints } = publication;
  stack.defer(() => snapshots.stop());
  await snapshots.start(first);
  stack.defer(() => endpoints.stop());
  await endpoints.start();
  stack.defer(publication.watchSilence());
}

/** Tells the other replicas that this one is there, until the stack is unwound. */
function announce(
  options: ControlOptions,
  says: Pick<ReplicaRegistryOptions, "revision" | "cannotSign">,
  stack: AsyncDisposableStack,
): ReplicaRegistry {
  const { bus, newId, now, version = "unknown" } = options;
  const peers = new ReplicaRegistry({ ...says, bus, id: newId(), version, now });
  stack.defer(() => peers.stop());
  peers.start();
  return peers;
}

/** The state to begin with; an empty ledger gets its first changes. */
function begin(ledger: Ledger, authority: Authority, options: ControlOptions): Promise<MeshState> {
  const { trustDomain, newId, operator } = options;
  const root = { fingerprint: authority.rootFingerprint, pem: authority.rootPem };
  return bootstrap(ledger, { trustDomain, root, newId, ...(operator === undefined ? {} : { operator }) });
}

/** Returns where it listens. */
function monitor(options: ControlOptions, families: MetricFamily[], stack: AsyncDisposableStack) {
  const { bus, heard = bus, listen, logger } = options;
  const forget = bus.onConnection((event) => {
    if (event === "connected") logger.info({}, "the connection to NATS is back");
    else logger.warn({}, `the connection to NATS is ${event}`);
  });
  stack.defer(() => void forget());
  const ailment = (): string | undefined => (bus.connected && heard.connected ? undefined : "NATS is out of reach");
  const monitoring = serveMonitoring({ address: listen, page: new MetricsPage(families), ailment });
  stack.defer(() => monitoring.stop());
  return monitoring.url;
}
