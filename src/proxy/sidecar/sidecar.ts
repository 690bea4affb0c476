/**
 * A sidecar, put together: policy and endpoints in, identity kept fresh, two listeners between the application and the
 * mesh. The one file to read to see what a sidecar is made of.
 */

import type { WorkloadCredentials } from "../../ca/workload/credentials.ts";
import { createIdentity, type IdentityKeeper } from "../../ca/workload/identity.ts";
import { signOverBus } from "../../ca/workload/sign-client.ts";
import type { EndpointSet, InstanceStatus, ServiceSnapshot } from "../../projections/snapshot.ts";
import { MetricsPage } from "../../telemetry/metrics-page.ts";
import { RequestMetrics } from "../../telemetry/request-metrics.ts";
import { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import type { Address } from "../io/listener.ts";
import type { ApplicationProtocol, TlsIdentity } from "../io/tls.ts";
import { compilePolicy, type Policy } from "../policy.ts";
import type { Telemetry } from "../telemetry.ts";
import type { EndpointState } from "../upstream/endpoints.ts";
import type { AdminPort } from "./admin.ts";
import { AppHealth } from "./app-health.ts";
import { ConfigSource } from "./config-source.ts";
import { Heartbeat } from "./heartbeat.ts";
import { applicationEndpoints, openListeners, type SidecarListeners } from "./listeners.ts";
import type { SidecarOptions } from "./options.ts";
import { StateDirectory } from "./state-directory.ts";
import { UpstreamDirectory } from "./upstream-directory.ts";

/** How long peers have to learn that we are leaving, before we stop accepting their connections. */
const WITHDRAWAL_MS = 1_500;
/** Longest the authority may take to sign. */
const SIGN_TIMEOUT_MS = 5_000;

export class Sidecar {
  readonly #options: SidecarOptions;
  readonly #startedAt: string;
  readonly #telemetry: Telemetry;
  readonly #upstreams: UpstreamDirectory;
  readonly #state: StateDirectory;
  readonly #application: Readonly<Record<ApplicationProtocol, EndpointState>>;
  readonly #health: AppHealth;
  #policy: Policy | undefined;
  #identity: IdentityKeeper | undefined;
  #tls: TlsIdentity | undefined;
  /** PEM of the roots that `#tls` believes; empty until it is there. */
  #trustedRoots: readonly string[] = [];
  #rejected: InstanceStatus["rejected"];
  #draining = false;
  #drained: Promise<void> | undefined;
  #gone = false;
  #source: ConfigSource | undefined;
  #heartbeat: Heartbeat | undefined;
  #listeners: SidecarListeners | undefined;

  private constructor(options: SidecarOptions, state: StateDirectory) {
    this.#options = options;
    this.#state = state;
    this.#startedAt = new Date(options.runtime.wallMs()).toISOString();
    this.#telemetry = {
      requests: new RequestMetrics(),
      sidecar: new SidecarMetrics(),
      accessLog: options.accessLog,
    };
    this.#upstreams = new UpstreamDirectory(options.runtime, () => this.#tls);
    this.#application = applicationEndpoints(options);
    this.#health = new AppHealth({
      check: options.appHealth,
      address: options.application,
      grpc: this.#application.h2.pool,
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
    const { logger } = options;
    const warn = (message: string): void => logger.warn({}, message);
    const state = await StateDirectory.open(options.stateDirectory, options.mesh, warn);
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
    return this.#listeners?.inbound.address ?? this.#options.inbound;
  }

  get outboundAddress(): Address {
    return this.#listeners?.outbound.address ?? this.#options.outbound;
  }

  /** Where the listeners of `options.upstreams` are, in their order. */
  get upstreamAddresses(): Address[] {
    return this.#listeners?.upstreams.map(({ address }) => address) ?? [];
  }

  get adminAddress(): Address {
    return this.#listeners?.pages[0]?.address ?? this.#options.admin;
  }

  /** Undefined: ready for traffic. Otherwise what is missing. */
  notReady(): string | undefined {
    if (this.#draining) return "draining";
    const { namespace, service } = this.#options;
    if (this.#policy === undefined) return `no snapshot yet: is ${namespace}/${service} declared (heddle apply)?`;
    const { lastError = "on its way" } = this.#identity?.status ?? {};
    if (this.#tls === undefined) return `no certificate yet: ${lastError}`;
    if (this.#certificateExpired) return `the certificate has expired: ${lastError}`;
    return this.#health.healthy ? undefined : `the application is not healthy: ${this.#health.reason}`;
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
    const deadlineMs = runtime.monotonicMs() + runtime.limits.drainTimeoutMs;
    await Bun.sleep(Math.min(WITHDRAWAL_MS, runtime.limits.drainTimeoutMs));
    const cutOff = (await this.#listeners?.drain(() => runtime.monotonicMs() < deadlineMs)) ?? 0;
    if (cutOff > 0) logger.warn({ connections: cutOff }, "drain timeout: closing what is still open");
  }

  /** Ends everything now. After `drain`, nobody notices. */
  async stop(): Promise<void> {
    this.#draining = true;
    this.#gone = true;
    this.#heartbeat?.beat();
    this.#heartbeat?.stop();
    this.#health.stop();
    this.#source?.stop();
    this.#listeners?.close();
    this.#upstreams.close();
    for (const { pool } of Object.values(this.#application)) pool.close();
    await this.#identity?.stop();
    await this.#state.settled();
    if (this.#options.bus.connected) await this.#options.bus.flush().catch(() => {});
  }

  async #start(): Promise<void> {
    const { namespace, service, bus, logger, runtime } = this.#options;
    const stored = await this.#state.load();
    for (const set of stored.endpoints) this.#upstreams.replace(set);
    this.#identity = await createIdentity({
      trustDomain: this.#options.trustDomain,
      namespace,
      service,
      stateDirectory: this.#options.stateDirectory,
      sign: signOverBus(bus, { namespace, service, timeoutMs: SIGN_TIMEOUT_MS }),
      clock: systemClock,
      random: runtime.random,
      onRenewed: (credentials) => this.#useCredentials(credentials),
      onError: (message) => logger.warn({}, message),
    });
    if (this.#identity.credentials !== undefined) this.#useCredentials(this.#identity.credentials);
    if (stored.snapshot !== undefined) this.#resume(stored.snapshot);
    if (this.#options.waitForApplication) await this.#health.firstHealthy;
    this.#listen();
    this.#source = new ConfigSource(
      {
        namespace,
        service,
        bus,
        config: this.#options.config,
        endpoints: this.#options.endpoints,
        random: runtime.random,
        onSnapshot: (snapshot) => this.#takeSnapshot(snapshot),
        onEndpoints: (set) => this.#takeEndpoints(set),
        onConfirmed: () => {
          this.#telemetry.sidecar.snapshotConfirmedMs = runtime.wallMs();
        },
        onRejected: (what, reason) => logger.error({ what, reason }, "refused what the control plane sent"),
      },
      this.#policy?.snapshot.revision ?? 0,
    );
    this.#follow();
    this.#heartbeat = new Heartbeat(bus, () => this.#status());
  }

  /** Takes up the policy that an earlier run left, unless it was one of another service. */
  #resume(snapshot: ServiceSnapshot): void {
    const { namespace, service, logger } = this.#options;
    if (snapshot.namespace === namespace && snapshot.name === service) this.#enforce(snapshot);
    else
      logger.warn(
        {},
        `the stored snapshot is one of ${snapshot.namespace}/${snapshot.name}, and is left out of account`,
      );
  }

  #listen(): void {
    this.#listeners = openListeners(this.#options, {
      telemetry: this.#telemetry,
      policy: () => this.#policy,
      identity: () => this.#tls,
      upstreams: this.#upstreams,
      application: this.#application,
      admin: this.#adminPort(),
    });
  }

  // What comes in

  #takeSnapshot(snapshot: ServiceSnapshot): boolean {
    const enforced = this.#enforce(snapshot);
    this.#heartbeat?.beat();
    if (!enforced) return false;
    this.#follow();
    this.#save();
    this.#options.logger.info({ revision: snapshot.revision }, "snapshot in force");
    return true;
  }

  /** Compiles first, swaps last: a snapshot that fails to compile changes nothing. False: it failed. */
  #enforce(snapshot: ServiceSnapshot): boolean {
    const { revision, trustBundle } = snapshot;
    try {
      this.#policy = compilePolicy(snapshot, this.#policy);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#rejected = { revision, reason: reason.slice(0, 1024) };
      this.#options.logger.error({ revision, reason }, "snapshot refused; the one in force stays");
      return false;
    }
    this.#rejected = undefined;
    this.#telemetry.sidecar.snapshotRevision = revision;
    if (trustBundle.length > 0) this.#identity?.setBundle(trustBundle);
    return true;
  }

  #takeEndpoints(set: EndpointSet): void {
    if (this.#upstreams.replace(set)) this.#save();
  }

  /** Follows the endpoints of every service that policy lets us call, and forgets the others. */
  #follow(): void {
    const upstreams = this.#policy?.routes.upstreams ?? [];
    this.#upstreams.keep(upstreams);
    this.#source?.follow(upstreams.map(({ ref }) => ref));
  }

  #useCredentials(credentials: WorkloadCredentials): void {
    const previous = this.#trustedRoots;
    this.#trustedRoots = credentials.bundle;
    this.#tls = {
      certificateChain: credentials.chainPem,
      privateKey: credentials.keyPem,
      trustBundle: credentials.bundle.join("\n"),
      trustDomain: credentials.identity.trustDomain,
    };
    this.#telemetry.sidecar.certificateExpiryS = credentials.notAfterMs / 1000;
    // Connections made with the old certificate end with their requests; new ones show the new one.
    if (previous.length > 0) this.#upstreams.retireConnections();
    // A root is trusted no longer: whoever it vouched for must show another certificate.
    if (previous.some((root) => !credentials.bundle.includes(root))) {
      for (const connection of this.#listeners?.inbound.connections ?? []) connection.drain();
    }
    this.#heartbeat?.beat();
  }

  #save(): void {
    this.#state.save({ snapshot: this.#policy?.snapshot, endpoints: this.#upstreams.sets() });
  }

  // What goes out

  #status(): InstanceStatus {
    const { instance, namespace, service, labels, version, advertisedHost } = this.#options;
    const expiryMs = this.#identity?.credentials?.notAfterMs;
    return {
      instance,
      namespace,
      service,
      state: this.#lifecycleState(),
      host: advertisedHost,
      port: this.inboundAddress.port,
      labels,
      revision: this.#policy?.snapshot.revision ?? 0,
      ...(this.#rejected === undefined ? {} : { rejected: this.#rejected }),
      ...(expiryMs === undefined ? {} : { certificateExpiry: new Date(expiryMs).toISOString() }),
      startedAt: this.#startedAt,
      version,
    };
  }

  #lifecycleState(): InstanceStatus["state"] {
    if (this.#gone) return "gone";
    if (this.#draining) return "draining";
    if (this.#policy === undefined || this.#tls === undefined) return "starting";
    // With an expired certificate nobody lets us in, nor comes in: callers had better go elsewhere.
    return this.#health.healthy && !this.#certificateExpired ? "ready" : "unhealthy";
  }

  get #certificateExpired(): boolean {
    const { notAfterMs = Number.POSITIVE_INFINITY } = this.#identity?.credentials ?? {};
    return this.#options.runtime.wallMs() > notAfterMs;
  }

  #adminPort(): AdminPort {
    const { runtime, accessLog } = this.#options;
    const families = [
      ...this.#telemetry.requests.families(),
      ...this.#telemetry.sidecar.families(runtime.wallMs),
      ...(accessLog?.families() ?? []),
    ];
    const page = new MetricsPage(families);
    return {
      notReady: () => this.notReady(),
      configDump: () => ({ status: this.#status(), snapshot: this.#policy?.snapshot ?? null }),
      clusters: () => this.#upstreams.describe(),
      certificates: () => ({
        spiffeId: this.#identity?.identity.id,
        certificateChain: this.#tls?.certificateChain ?? null,
        trustBundle: this.#tls?.trustBundle ?? null,
        status: this.#identity?.status,
      }),
      metrics: {
        render: () => {
          this.#upstreams.measure(this.#telemetry.sidecar);
          return page.render();
        },
      },
      drain: () => void this.drain(),
      quit: () => this.#options.onQuit(),
    };
  }
}

const systemClock = {
  now: Date.now,
  after(delayMs: number, run: () => void): () => void {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
