/**
 * A control replica, put together. Any number of them run at once and share nothing but the ledger and the buckets:
 * each folds the log and publishes on its own, and requests reach one of them. Whatever a replica holds, it can fold
 * or hear again.
 */

import type { AuthorityKeeper } from "../ca/authority-keeper.ts";
import type { KeyCustody } from "../ca/custody.ts";
import type { Authority } from "../ca/open-authority.ts";
import { serveSigning } from "../ca/sign-service.ts";
import { openEventLog } from "../events/jetstream-log.ts";
import type { EventLog } from "../events/log.ts";
import type { MeshState } from "../events/state.ts";
import type { Accounts } from "../nats/accounts.ts";
import { openBucket } from "../nats/buckets.ts";
import type { Bucket } from "../nats/bus.ts";
import type { NatsBus } from "../nats/connection.ts";
import { largeValues } from "../nats/large-values.ts";
import { CHECKPOINT_BUCKET, CONFIG_BUCKET, ENDPOINT_BUCKET } from "../nats/subjects.ts";
import { ensureTrafficStream } from "../nats/traffic-stream.ts";
import { parseDuration } from "../policy/duration.ts";
import { HISTORY_EVERY, HistoryKeeper, nearestCheckpoint } from "../projections/history-checkpoints.ts";
import { meshProjection, type Projection } from "../projections/projection.ts";
import { type RunningProjection, runProjection } from "../projections/runner.ts";
import { meshStateCodec } from "../projections/state-codec.ts";
import { type ChangeIndex, changeIndex, changeIndexCodec } from "../replay/change-index.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MetricFamily } from "../telemetry/metric-family.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { CLOCK_TOLERANCE_MS } from "./admission.ts";
import { bootstrap, checkTrustDomain, type FirstOperator } from "./bootstrap.ts";
import { CommandService } from "./command-service.ts";
import { ControlMetrics } from "./control-metrics.ts";
import { CredentialService } from "./credential-service.ts";
import { FaultExpiry } from "./fault-expiry.ts";
import { admitInstance } from "./join-tokens.ts";
import { keepAuthority } from "./keep-authority.ts";
import { Ledger } from "./ledger.ts";
import { type ListenAddress, serveMonitoring } from "./monitoring.ts";
import { PastStates } from "./past-states.ts";
import { createPublication, type Publication } from "./publication.ts";
import { serveQueries } from "./query-service.ts";
import { serveQuota } from "./quota-service.ts";
import { RecentCommands } from "./recent-commands.ts";
import { RefusedCertificates } from "./refused-certificates.ts";
import { ReplicaRegistry, type ReplicaRegistryOptions } from "./replica-registry.ts";
import { RotationDriver } from "./rotation-driver.ts";
import { signingRevocation } from "./signing-revocation.ts";
import { RollupKeeper } from "./traffic-rollups.ts";

/** Life of a leaf where no document and no option says otherwise. */
const LEAF_TTL_MS = 24 * 3_600_000;

export interface ControlOptions {
  /** A control user's connection, which remains the caller's to close. */
  readonly bus: NatsBus;
  /**
   * Another one, to hear workloads on: whoever has credentials of a single sidecar can flood it, and operators' commands
   * and questions must not wait behind that. `bus` by default.
   */
  readonly heard?: NatsBus;
  /** Keys of the certificate authority, the same for every replica. */
  readonly custody: KeyCustody;
  readonly trustDomain: string;
  /** The keys of the NATS accounts at work, which remain the caller's to close; absent where another replica has them. */
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
  const { log, checkpoints, configBucket, endpointBucket } = await openStores(bus, options.streamReplicas ?? 1);
  const metrics = new ControlMetrics();
  const converged = (durationMs: number): void => metrics.converged(durationMs);
  const publication = createPublication({
    ...options,
    configBucket,
    endpointBucket,
    converged,
    refused: (reason) => metrics.refusedStatus(reason),
  });
  const recent = new RecentCommands(2 * CLOCK_TOLERANCE_MS);
  const warn = (message: string): void => options.logger.warn({}, message);
  const fold = options.fold ?? meshProjection;
  const source = { log, bucket: checkpoints, projection: fold, codec: meshStateCodec, warn };
  const past = new PastStates(log, async (revision) => (await nearestCheckpoint(source, revision))?.state);
  const history = new HistoryKeeper(source);
  stack.defer(() => history.stop());
  const index = new HistoryKeeper({ ...source, projection: changeIndex(), codec: changeIndexCodec });
  stack.defer(() => index.stop());
  const credentials = new CredentialService({
    ...options,
    accounts: options.accounts,
    state: () => projection.state,
    latest: () => ledger.latest(),
  });
  const projection = await project(options, {
    ...source,
    publication,
    metrics,
    recent,
    past,
    history,
    index,
    credentials,
  });
  stack.defer(() => projection.stop());
  history.start();
  index.start();
  const rollups = new RollupKeeper({ bus, bucket: checkpoints, warn });
  stack.defer(() => rollups.stop());
  rollups.start();
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
  const instances = (): number => publication.roster.connected(now());
  const gauges = { authorityExpiry, revision: () => projection.revision, instances };
  const url = monitor(options, metrics.families(gauges), stack);
  const rotation = new RotationDriver({ ...options, ledger, keeper, acknowledgements: publication.acknowledgements });
  stack.defer(rotation.start(() => projection.state));
  const faults = new FaultExpiry({ ...options, ledger, state: () => projection.state });
  stack.defer(faults.start());
  const says = { revision: () => projection.revision, cannotSign: () => keeper.fault };
  const peers = announce(options, says, stack);
  const parts = { metrics, keeper, rotation, ledger, recent, past, projection, publication, credentials, peers };
  await serve({ ...options, ...parts, authorityExpiry }, stack);
  const { snapshots, endpoints } = publication;
  const settled = async (): Promise<void> => {
    await Promise.all([snapshots.settled(), endpoints.settled()]);
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

interface ProjectionParts {
  readonly log: EventLog;
  readonly bucket: Bucket;
  readonly projection: Projection<MeshState>;
  readonly publication: Publication;
  readonly metrics: ControlMetrics;
  readonly recent: RecentCommands;
  readonly past: PastStates;
  readonly history: HistoryKeeper<MeshState>;
  readonly index: HistoryKeeper<ChangeIndex>;
  readonly credentials: CredentialService;
}

/** Folds the log, and tells every part that follows it of each change. */
function project({ logger, random }: ControlOptions, parts: ProjectionParts): Promise<RunningProjection<MeshState>> {
  const { log, bucket, projection, publication, metrics, recent, past, history, index, credentials } = parts;
  return runProjection({
    log,
    projection,
    checkpoints: { bucket, codec: meshStateCodec },
    onChange: (before, after, change) => {
      publication.snapshots.changed(before, after, change);
      publication.convergence.changed(change.revision);
      metrics.recorded(change);
      recent.recorded(change);
      past.keep(after);
      history.recorded(after, change);
      // What the stretch holds is folded when it is complete.
      if (change.revision % HISTORY_EVERY === 0) index.start();
      if (before.revokedKeys !== after.revokedKeys) credentials.check();
    },
    warn: (message) => logger.warn({}, message),
    random,
  });
}

/** What was revoked while nobody was connected, the server must hear of again. */
function guardCredentials(credentials: CredentialService, bus: NatsBus, stack: AsyncDisposableStack): void {
  stack.defer(() => credentials.stop());
  stack.defer(bus.onConnection((event) => event === "connected" && credentials.check({ again: true })));
  credentials.start();
}

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

interface ServiceParts extends ControlOptions {
  readonly metrics: ControlMetrics;
  readonly keeper: AuthorityKeeper;
  readonly rotation: RotationDriver;
  readonly ledger: Ledger;
  readonly recent: RecentCommands;
  readonly past: PastStates;
  readonly projection: RunningProjection<MeshState>;
  readonly publication: Publication;
  readonly credentials: CredentialService;
  readonly peers: ReplicaRegistry;
  readonly authorityExpiry: () => { readonly rootMs: number; readonly issuerMs: number };
}

/** Opens the doors: certificates, questions, commands. Resolves when the server knows of them. */
async function serve(parts: ServiceParts, stack: AsyncDisposableStack): Promise<void> {
  const { bus, trustDomain, now, logger, keeper, rotation, ledger, recent, past, projection, publication } = parts;
  const { roster, convergence, snapshots } = publication;
  const { credentials } = parts;
  const refused = new RefusedCertificates(logger);
  const heard = parts.heard ?? bus;
  const signing = serveSigning(heard, {
    trustDomain,
    ttlMs: parts.leafTtlMs ?? LEAF_TTL_MS,
    ttlOf: (namespace, service) => certificateTtl(projection.state, namespace, service),
    issuer: () => keeper.issuer,
    bundle: () => trustedRoots(projection.state),
    revocation: (namespace, service) => signingRevocation(projection.state, namespace, service),
    admit: (asker, instance) => admitInstance({ ...asker, instance }, { ...parts, state: () => projection.state }),
    now,
    audit: (line) => {
      parts.metrics.signed(line.outcome);
      if (line.outcome === "signed") logger.info({ ...line }, "certificate signed");
      else refused.note(line);
    },
  });
  keeper.onAvailability((available) => signing.setAvailable(available));
  stack.defer(() => {
    keeper.onAvailability(() => {});
    signing.stop();
  });
  const quota = serveQuota({ bus: heard, state: () => projection.state, monotonicMs: () => performance.now() });
  stack.defer(() => quota.stop());
  const commands = new CommandService({ bus, ledger, recent, past, now, logger });
  stack.defer(() => commands.stop());
  await commands.start();
  // Last: whoever gets an answer to a question may send a command at once, and a command that nobody hears is lost.
  const state = (): MeshState => projection.state;
  const expectedRevision = snapshots.expectedRevision.bind(snapshots);
  const queries = serveQueries({
    bus,
    state,
    expectedRevision,
    roster,
    registry: publication.endpoints.registry,
    convergence,
    rotation,
    credentials,
    now,
    logger,
    replicas: () => parts.peers.replicas(),
    authorityExpiry: parts.authorityExpiry,
  });
  stack.defer(() => {
    queries.stop();
    convergence.stop();
  });
  await bus.flush();
}

/** Milliseconds; undefined where no document says. */
function certificateTtl({ mesh, namespaces }: MeshState, namespace: string, service: string): number | undefined {
  const own = namespaces.get(namespace)?.services.get(service)?.value.certificateTtl;
  return parseDuration(own ?? mesh?.value.certificateTtl ?? "");
}

function trustedRoots({ roots }: MeshState): string[] {
  return [...roots.values()].filter(({ status }) => status !== "retired").map(({ pem }) => pem);
}
