/**
 * A sidecar, put together: policy and endpoints in, identity kept fresh, and a data plane between the application and
 * the mesh. The one file to read to see what a sidecar is made of.
 */

import { anchorOf } from "../../ca/workload/anchor.ts";
import type { WorkloadCredentials } from "../../ca/workload/credentials.ts";
import { createIdentity, type IdentityKeeper, systemClock } from "../../ca/workload/identity.ts";
import { compileRevocations, type RevocationCheck } from "../../ca/workload/revocations.ts";
import { signOverBus } from "../../ca/workload/sign-client.ts";
import type { ServiceRef } from "../../policy/names.ts";
import type { EndpointSet, InstanceStatus, ServiceSnapshot } from "../../projections/snapshot.ts";
import { MetricsPage } from "../../telemetry/metrics-page.ts";
import { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import type { Address } from "../io/address.ts";
import type { TlsIdentity } from "../io/tls.ts";
import { Pool } from "../upstream/pool.ts";
import { type AdminListener, type AdminPort, listenAdmin, listenHealth, listenMetrics } from "./admin.ts";
import { AppHealth } from "./app-health.ts";
import { ConfigSource } from "./config-source.ts";
import type { DataPlane } from "./data-plane.ts";
import { Heartbeat } from "./heartbeat.ts";
import { opening } from "./listeners.ts";
import { LocalDataPlane } from "./local-data-plane.ts";
import { Namesake } from "./namesake.ts";
import type { SidecarOptions } from "./options.ts";
import { quotaOverBus } from "./quota-over-bus.ts";
import { StateDirectory } from "./state-directory.ts";
import { TrafficReporter } from "./traffic-reporter.ts";

/** How long peers have to learn that we are leaving, before we stop accepting their connections. */
const WITHDRAWAL_MS = 1_500;
/** Longest the authority may take to sign. */
const SIGN_TIMEOUT_MS = 5_000;
/** Until a new certificate is asked for where the last one was revoked, or under a former root, before it came. */
const EARLY_RENEWAL_MS = 1_000;
/** The sidecars of a mesh ask for certificates under a new root within this time, not all at once. */
const ROOT_CHANGE_SPREAD_MS = 3_000;

export class Sidecar {
  readonly #options: SidecarOptions;
  readonly #startedAt: string;
  readonly #metrics = new SidecarMetrics();
  readonly #plane: DataPlane;
  readonly #state: StateDirectory;
  /** For the application's health service. */
  readonly #healthPool: Pool;
  readonly #health: AppHealth;
  readonly #quit = Promise.withResolvers<void>();
  /** The snapshot in force, and the services that it lets us call. */
  #snapshot: ServiceSnapshot | undefined;
  #callable: readonly ServiceRef[] = [];
  #identity: IdentityKeeper | undefined;
  #tls: TlsIdentity | undefined;
  /** Fingerprint of the root that our certificate leads to. */
  #root: string | undefined;
  #revocation: RevocationCheck = () => undefined;
  #rejected: InstanceStatus["rejected"];
  #draining = false;
  #drained: Promise<void> | undefined;
  #gone = false;
  #source: ConfigSource | undefined;
  #heartbeat: Heartbeat | undefined;
  #traffic: TrafficReporter | undefined;
  #namesake: Namesake | undefined;
  /** Admin, then health and metrics where they are asked for. */
  readonly #pages: AdminListener[] = [];

  private constructor(options: SidecarOptions, state: StateDirectory) {
    this.#options = options;
    this.#state = state;
    this.#startedAt = new Date(options.runtime.wallMs()).toISOString();
    const askQuota = quotaOverBus(options.bus, options.namespace, options.service);
    this.#plane =
      options.dataPlane?.(this.#metrics, askQuota, () => this.#heartbeat?.beat()) ??
      new LocalDataPlane({ askQuota, ...options }, this.#metrics);
    const { healthAddress: address, runtime } = options;
    const idleTimeoutMs = runtime.limits.applicationIdleTimeoutMs;
    this.#healthPool = new Pool({ address, runtime, protocol: "h2", bounds: () => ({ idleTimeoutMs }) });
    this.#health = new AppHealth({
      check: options.appHealth,
      address,
      grpc: this.#healthPool,
      onChange: (healthy, reason) => {
        if (healthy) options.logger.info({}, "the application is healthy");
        else options.logger.warn({ reason }, "the application is not healthy: callers go elsewhere");
        this.#heartbeat?.beat();
      },
    });
  }

  /**
   * Starts with what an earlier run left, and serves as soon as policy and identity are there. Rejects, with nothing
   * left open, where it cannot listen or the state directory cannot be used.
   */
  static async start(options: SidecarOptions): Promise<Sidecar> {
    const { stateDirectory, mesh, logger } = options;
    const state = await StateDirectory.open(stateDirectory, mesh, (message) => logger.warn({}, message));
    const sidecar = new Sidecar(options, state);
    try {
      await sidecar.#start();
    } catch (error) {
      await sidecar.stop();
      throw error;
    }
    return sidecar;
  }

  get inboundAddress(): Address {
    return this.#plane.addresses?.inbound ?? this.#options.inbound;
  }

  get outboundAddress(): Address {
    return this.#plane.addresses?.outbound ?? this.#options.outbound;
  }

  /** Undefined where there is none. */
  get outboundTlsAddress(): Address | undefined {
    return this.#plane.addresses?.outboundTls;
  }

  /** Where the listeners of `options.upstreams` are, in their order. */
  get upstreamAddresses(): readonly Address[] {
    return this.#plane.addresses?.upstreams ?? [];
  }

  get adminAddress(): Address {
    return this.#pages[0]?.address ?? this.#options.admin;
  }

  /** Undefined: ready for traffic. Otherwise what is missing. */
  notReady(): string | undefined {
    if (this.#draining) return "draining";
    const { namespace, service, waitForApplication } = this.#options;
    if (waitForApplication && !this.#plane.addresses) return `waiting for the application: ${this.#health.reason}`;
    if (this.#snapshot === undefined) return `no snapshot yet: is ${namespace}/${service} declared (heddle apply)?`;
    const { lastError = "on its way" } = this.#identity?.status ?? {};
    if (this.#tls === undefined) return `no certificate yet: ${lastError}`;
    const fault = this.#revocationFault;
    if (fault !== undefined) return `${fault}: ${lastError}`;
    if (!this.#plane.ready) return "nothing listens: every worker has ended, and is being started again";
    if (this.#certificateExpired) return `the certificate has expired: ${lastError}`;
    if (!this.#health.healthy) return `the application is not healthy: ${this.#health.reason}`;
    return this.#namesake?.fault;
  }

  /**
   * Leaves: tells the mesh, waits for peers to hear it, then for requests under way to end, at most the drain timeout.
   * Resolves when nothing is open any more.
   */
  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    const { runtime, logger } = this.#options;
    logger.info({}, "draining");
    this.#heartbeat?.beat();
    const { drainTimeoutMs } = runtime.limits;
    const withdrawalMs = Math.min(WITHDRAWAL_MS, drainTimeoutMs);
    await Bun.sleep(withdrawalMs);
    const cutOff = await this.#plane.drain(drainTimeoutMs - withdrawalMs);
    if (cutOff > 0) logger.warn({ connections: cutOff }, "drain timeout: closing what is still open");
  }

  /** Ends everything now. After `drain`, nobody notices. */
  async stop(): Promise<void> {
    this.#draining = true;
    this.#gone = true;
    this.#heartbeat?.beat();
    this.#heartbeat?.stop();
    this.#namesake?.stop();
    await this.#traffic?.stop();
    this.#health.stop();
    this.#source?.stop();
    for (const page of this.#pages) page.close();
    this.#healthPool.close();
    await this.#plane.close();
    await this.#identity?.stop();
    await this.#state.settled();
    if (this.#options.bus.connected) await this.#options.bus.flush().catch(() => {});
  }

  async #start(): Promise<void> {
    const { namespace, service, instance, user, bus, logger, runtime } = this.#options;
    const stored = await this.#state.load();
    for (const set of stored.endpoints) this.#plane.replaceEndpoints(set);
    this.#identity = await createIdentity({
      trustDomain: this.#options.trustDomain,
      namespace,
      service,
      stateDirectory: this.#options.stateDirectory,
      sign: signOverBus(bus, { namespace, service, user, instance, timeoutMs: SIGN_TIMEOUT_MS }),
      clock: systemClock,
      random: runtime.random,
      onRenewed: (credentials) => this.#useCredentials(credentials),
      onAttempt: (failures) => {
        this.#metrics.renewalFailures = failures;
        this.#metrics.renewals.cell({ outcome: failures === 0 ? "success" : "failure" }).value++;
      },
      onError: (message) => logger.warn({}, message),
    });
    if (this.#identity.credentials !== undefined) this.#useCredentials(this.#identity.credentials);
    if (stored.snapshot !== undefined) this.#resume(stored.snapshot);
    this.#openPages();
    void this.#quit.promise.then(this.#options.onQuit);
    if (this.#options.waitForApplication) await Promise.race([this.#health.firstHealthy, this.#quit.promise]);
    await this.#plane.listen();
    this.#source = new ConfigSource(
      {
        namespace,
        service,
        bus,
        config: this.#options.config,
        endpoints: this.#options.endpoints,
        random: runtime.random,
        onSnapshot: (snapshot, text) => this.#takeSnapshot(snapshot, text),
        onEndpoints: (set) => this.#takeEndpoints(set),
        onConfirmed: () => {
          this.#metrics.snapshotConfirmedMs = runtime.wallMs();
        },
        onRejected: (what, reason) => logger.error({ what, reason }, "refused what the control plane sent"),
        onSnapshotRejected: (revision, reason) => void this.#reject(revision, reason),
      },
      this.#snapshot?.revision ?? 0,
    );
    this.#source.follow(this.#callable);
    this.#heartbeat = new Heartbeat(bus, () => this.#status());
    const address = (): string => `${this.#options.advertisedHost}:${this.inboundAddress.port}`;
    this.#namesake = new Namesake({ ...this.#options, address });
    this.#traffic = new TrafficReporter({
      ...this.#options,
      bus,
      now: runtime.wallMs,
      random: runtime.random,
      take: () => this.#plane.takeTraffic(),
      metrics: this.#metrics,
    });
  }

  /** Takes up the policy that an earlier run left, unless it was one of another service. */
  #resume(snapshot: ServiceSnapshot): void {
    const { namespace, service, logger } = this.#options;
    if (snapshot.namespace === namespace && snapshot.name === service) this.#enforce(snapshot);
    else logger.warn({}, `left out of account: a stored snapshot of ${snapshot.namespace}/${snapshot.name}`);
  }

  #openPages(): void {
    const { admin, health, metrics } = this.#options;
    const port = this.#adminPort();
    this.#pages.push(opening(admin, () => listenAdmin(admin, port)));
    if (health !== undefined) this.#pages.push(opening(health, () => listenHealth(health, port)));
    if (metrics !== undefined) this.#pages.push(opening(metrics, () => listenMetrics(metrics, port)));
  }

  // What comes in

  #takeSnapshot(snapshot: ServiceSnapshot, text: Uint8Array): boolean {
    if (!this.#enforce(snapshot)) return false;
    this.#heartbeat?.beat();
    this.#source?.follow(this.#callable);
    this.#save(text);
    this.#options.logger.info({ revision: snapshot.revision }, "snapshot in force");
    return true;
  }

  /** A snapshot that cannot be enforced changes nothing. False: it was one. */
  #enforce(snapshot: ServiceSnapshot): boolean {
    const { revision, trustDomain, trustBundle, revocations } = snapshot;
    try {
      this.#callable = this.#plane.enforce(snapshot);
      this.#snapshot = snapshot;
    } catch (error) {
      return this.#reject(revision, error instanceof Error ? error.message : String(error));
    }
    this.#rejected = undefined;
    this.#health.configure(snapshot.inbound.healthCheck);
    this.#metrics.snapshotRevision = revision;
    const faultBefore = this.#revocationFault;
    this.#revocation = compileRevocations(trustDomain, revocations);
    if (trustBundle.length > 0) this.#identity?.setBundle(trustBundle);
    const fault = this.#revocationFault;
    // Another reason than before may also mean that one has been reinstated: not to be waited for as after a failure.
    if (fault !== undefined && fault !== faultBefore) {
      this.#options.logger.warn({ revision, reason: fault }, "our own certificate is believed no longer");
      this.#identity?.renew();
    } else if (fault === undefined && this.#isUnderFormerRoot) {
      this.#identity?.renew(this.#options.runtime.random() * ROOT_CHANGE_SPREAD_MS);
    }
    return true;
  }

  #reject(revision: number, reason: string): false {
    this.#rejected = { revision, reason: reason.slice(0, 1024) };
    this.#options.logger.error({ revision, reason }, "snapshot refused; the one in force stays");
    this.#heartbeat?.beat();
    return false;
  }

  /** Why peers do not believe our certificate any more; undefined: they do. */
  get #revocationFault(): string | undefined {
    const { credentials } = this.#identity ?? {};
    return credentials && this.#revocation({ ...credentials.identity, ...credentials });
  }

  /** Another root signs now than the one that our certificate leads to. */
  get #isUnderFormerRoot(): boolean {
    const { activeRoot } = this.#snapshot ?? {};
    return activeRoot !== undefined && this.#tls !== undefined && this.#root !== activeRoot;
  }

  #takeEndpoints(set: EndpointSet): void {
    if (this.#plane.replaceEndpoints(set)) this.#save();
  }

  #useCredentials(credentials: WorkloadCredentials): void {
    this.#tls = {
      certificateChain: credentials.chainPem,
      privateKey: credentials.keyPem,
      trustBundle: credentials.bundle.join("\n"),
      trustDomain: credentials.identity.trustDomain,
    };
    this.#metrics.certificateExpiryS = credentials.notAfterMs / 1000;
    this.#plane.useIdentity(this.#tls);
    this.#root = anchorOf(credentials.chainPem, credentials.bundle);
    // Signed by a replica that had not heard of the revocation, or of the change of roots, yet.
    const isRevoked = this.#revocation({ ...credentials.identity, ...credentials }) !== undefined;
    if (isRevoked || this.#isUnderFormerRoot) this.#identity?.renew(EARLY_RENEWAL_MS);
    this.#heartbeat?.beat();
  }

  #save(snapshot?: Uint8Array): void {
    this.#state.save(this.#plane.sets(), snapshot);
  }

  // What goes out

  #status(): InstanceStatus {
    const { instance, namespace, service, labels, version, advertisedHost } = this.#options;
    const { serial, notAfterMs: expiryMs } = this.#identity?.credentials ?? {};
    const avoided = this.#plane.avoided();
    return {
      instance,
      namespace,
      service,
      state: this.#lifecycleState(),
      host: advertisedHost,
      port: this.inboundAddress.port,
      labels,
      revision: this.#plane.revision,
      ...(this.#rejected === undefined ? {} : { rejected: this.#rejected }),
      ...(avoided.length === 0 ? {} : { avoided: [...avoided] }),
      ...(expiryMs === undefined ? {} : { certificateExpiry: new Date(expiryMs).toISOString() }),
      ...(serial === undefined ? {} : { certificateSerial: serial }),
      ...(this.#root === undefined ? {} : { certificateRoot: this.#root }),
      startedAt: this.#startedAt,
      time: new Date(this.#options.runtime.wallMs()).toISOString(),
      version,
    };
  }

  #lifecycleState(): InstanceStatus["state"] {
    if (this.#gone) return "gone";
    if (this.#draining) return "draining";
    if (this.#snapshot === undefined || this.#tls === undefined) return "starting";
    // With an expired or revoked certificate nobody lets us in, nor comes in: callers had better go elsewhere.
    const believed = !this.#certificateExpired && this.#revocationFault === undefined;
    return this.#health.healthy && this.#plane.ready && believed ? "ready" : "unhealthy";
  }

  get #certificateExpired(): boolean {
    const { notAfterMs = Number.POSITIVE_INFINITY } = this.#identity?.credentials ?? {};
    return this.#options.runtime.wallMs() > notAfterMs;
  }

  #adminPort(): AdminPort {
    const page = new MetricsPage(this.#plane.families);
    return {
      notReady: () => this.notReady(),
      configDump: () => ({ status: this.#status(), snapshot: this.#snapshot ?? null }),
      clusters: () => this.#plane.clusters(),
      certificates: () => ({
        spiffeId: this.#identity?.identity.id,
        certificateChain: this.#tls?.certificateChain ?? null,
        trustBundle: this.#tls?.trustBundle ?? null,
        status: this.#identity?.status,
      }),
      metrics: {
        render: async () => {
          await this.#plane.measure();
          return page.render();
        },
      },
      drain: () => void this.drain(),
      quit: () => this.#quit.resolve(),
    };
  }
}
