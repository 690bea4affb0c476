/**
 * A sidecar, put together: policy and endpoints in, identity kept fresh, two listeners between the application and the
 * mesh. The one file to read to see what a sidecar is made of.
 */

import type { WorkloadCredentials } from "../../ca/workload/credentials.ts";
import { createIdentity, type IdentityKeeper } from "../../ca/workload/identity.ts";
import { signOverBus } from "../../ca/workload/sign-client.ts";
import type { Bucket, Bus } from "../../nats/bus.ts";
import { serviceRef } from "../../policy/names.ts";
import type { EndpointSet, InstanceStatus, ServiceSnapshot } from "../../projections/snapshot.ts";
import type { AccessLog } from "../../telemetry/access-log.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { MetricsPage } from "../../telemetry/metrics-page.ts";
import { RequestMetrics } from "../../telemetry/request-metrics.ts";
import { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import { Exchange, recordUnreadable, type Side } from "../exchange.ts";
import { Inbound } from "../inbound.ts";
import type { AcceptRequest } from "../io/downstream.ts";
import { type Address, type Listener, listenPlain } from "../io/listener.ts";
import type { ApplicationProtocol, TlsIdentity } from "../io/tls.ts";
import { listenTls } from "../io/tls-listener.ts";
import { Outbound } from "../outbound.ts";
import { compilePolicy, type Policy, protocolOf } from "../policy.ts";
import type { Runtime } from "../runtime.ts";
import type { Telemetry } from "../telemetry.ts";
import type { EndpointState } from "../upstream/endpoints.ts";
import { Pool } from "../upstream/pool.ts";
import { type AdminListener, type AdminPort, listenAdmin, listenHealth, listenMetrics } from "./admin.ts";
import { AppHealth, type HealthCheck } from "./app-health.ts";
import { ConfigSource } from "./config-source.ts";
import { Heartbeat } from "./heartbeat.ts";
import { StateDirectory } from "./state-directory.ts";
import { UpstreamDirectory } from "./upstream-directory.ts";

export interface SidecarOptions {
  readonly namespace: string;
  readonly service: string;
  readonly trustDomain: string;
  /** Names this instance in the mesh; unique among the service's instances. */
  readonly instance: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly version: string;
  /** The application beside us. */
  readonly application: Address;
  readonly appHealth: HealthCheck;
  /** Listen only when the application has been healthy once. */
  readonly waitForApplication: boolean;
  /** Where peers come in (mutual TLS), and the host under which they find us. */
  readonly inbound: Address;
  readonly advertisedHost: string;
  /** Where the application's own calls come in. */
  readonly outbound: Address;
  /** Listeners of their own for single services, whatever their protocol. */
  readonly upstreams: readonly BoundListener[];
  /** Loopback only. */
  readonly admin: Address;
  readonly health: Address | undefined;
  readonly metrics: Address | undefined;
  readonly stateDirectory: string;
  /** Names the mesh that issued our credentials; state of another is not believed. */
  readonly mesh: string;
  readonly bus: Bus;
  readonly config: Pick<Bucket, "get">;
  readonly endpoints: Pick<Bucket, "get">;
  readonly accessLog: AccessLog | undefined;
  readonly logger: Logger;
  readonly runtime: Runtime;
  /** `/quitquitquit` was called. */
  readonly onQuit: () => void;
}

/** A local address that stands for one service. */
export interface BoundListener {
  readonly namespace: string;
  readonly name: string;
  readonly address: Address;
}

/** How long peers have to learn that we are leaving, before we stop accepting their connections. */
const WITHDRAWAL_MS = 1_500;
/** Longest the authority may take to sign. */
const SIGN_TIMEOUT_MS = 10_000;
const CLOSED_POLL_MS = 20;

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
  #rejected: InstanceStatus["rejected"];
  #draining = false;
  #drained: Promise<void> | undefined;
  #gone = false;
  #source: ConfigSource | undefined;
  #heartbeat: Heartbeat | undefined;
  #inbound: Listener | undefined;
  /** The one for every service first, then those for a single one. */
  #outbound: Listener[] = [];
  #pages: AdminListener[] = [];

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
    this.#application = {
      "http/1.1": applicationEndpoint(options, "http/1.1"),
      h2: applicationEndpoint(options, "h2"),
      tcp: applicationEndpoint(options, "tcp"),
    };
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

  /** Starts with what an earlier run left, and serves as soon as policy and identity are there. */
  static async start(options: SidecarOptions): Promise<Sidecar> {
    const { logger } = options;
    const warn = (message: string): void => logger.warn({}, message);
    const state = await StateDirectory.open(options.stateDirectory, options.mesh, warn);
    const sidecar = new Sidecar(options, state);
    await sidecar.#start();
    return sidecar;
  }

  get inboundAddress(): Address {
    return this.#inbound?.address ?? this.#options.inbound;
  }

  get outboundAddress(): Address {
    return this.#outbound[0]?.address ?? this.#options.outbound;
  }

  /** Where the listeners of `options.upstreams` are, in their order. */
  get upstreamAddresses(): Address[] {
    return this.#outbound.slice(1).map(({ address }) => address);
  }

  get adminAddress(): Address {
    return this.#pages[0]?.address ?? this.#options.admin;
  }

  /** Undefined: ready for traffic. Otherwise what is missing. */
  notReady(): string | undefined {
    if (this.#draining) return "draining";
    const { namespace, service } = this.#options;
    if (this.#policy === undefined) return `no snapshot yet: is ${namespace}/${service} declared (heddle apply)?`;
    if (this.#tls === undefined) return `no certificate yet: ${this.#identity?.status.lastError ?? "on its way"}`;
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
    // Inbound first: to finish what it was asked, the application may have to make calls of its own.
    const inbound = this.#inbound === undefined ? [] : [this.#inbound];
    for (const listeners of [inbound, this.#outbound]) {
      for (const listener of listeners) listener.drain();
      while (openConnections(listeners) > 0 && runtime.monotonicMs() < deadlineMs) await Bun.sleep(CLOSED_POLL_MS);
    }
    const cutOff = openConnections([...inbound, ...this.#outbound]);
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
    this.#inbound?.close();
    for (const listener of this.#outbound) listener.close();
    for (const page of this.#pages) page.stop();
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
    if (stored.snapshot !== undefined) this.#enforce(stored.snapshot);
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

  #listen(): void {
    const options = this.#options;
    const { runtime } = options;
    const telemetry = this.#telemetry;
    const policy = (): Policy | undefined => this.#policy;
    const version = options.labels.version;
    const outbound = new Outbound({
      runtime,
      telemetry,
      policy,
      endpoints: (service) => this.#upstreams.get(service),
      version,
    });
    const inbound = new Inbound({
      runtime,
      telemetry,
      policy,
      version,
      application: this.#application,
    });
    this.#inbound = listenTls({
      address: options.inbound,
      runtime,
      accept: acceptInto(runtime, inbound),
      identity: () => this.#tls,
      onRefused: (peer, reason) => options.logger.warn({ peer, reason }, "refused a peer"),
    });
    const accept = acceptInto(runtime, outbound);
    this.#outbound = [
      listenPlain({ address: options.outbound, runtime, accept }),
      ...options.upstreams.map((bound) => this.#listenFor(bound, accept)),
    ];
    const port = this.#adminPort();
    this.#pages = [listenAdmin(options.admin, port)];
    if (options.health !== undefined) this.#pages.push(listenHealth(options.health, port));
    if (options.metrics !== undefined) this.#pages.push(listenMetrics(options.metrics, port));
  }

  #listenFor({ namespace, name, address }: BoundListener, accept: AcceptRequest): Listener {
    const { runtime, trustDomain } = this.#options;
    const service = serviceRef(namespace, name);
    return listenPlain({
      address,
      runtime,
      accept,
      boundTo: { service, authority: `${name}.${namespace}.${trustDomain}` },
      rawTcp: () => {
        const upstream = this.#policy?.routes.upstreams.find(({ ref }) => ref === service);
        return upstream !== undefined && protocolOf(upstream.ports) === "tcp";
      },
    });
  }

  // What comes in

  #takeSnapshot(snapshot: ServiceSnapshot): void {
    const { logger } = this.#options;
    try {
      this.#enforce(snapshot);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#rejected = { revision: snapshot.revision, reason: reason.slice(0, 1024) };
      logger.error({ revision: snapshot.revision, reason }, "snapshot refused; the one in force stays");
      this.#heartbeat?.beat();
      return;
    }
    this.#rejected = undefined;
    this.#heartbeat?.beat();
    this.#follow();
    this.#save();
    logger.info({ revision: snapshot.revision }, "snapshot in force");
  }

  /** Compiles first, swaps last: a snapshot that fails to compile changes nothing. */
  #enforce(snapshot: ServiceSnapshot): void {
    this.#policy = compilePolicy(snapshot, this.#policy);
    this.#telemetry.sidecar.snapshotRevision = snapshot.revision;
    if (snapshot.trustBundle.length > 0) this.#identity?.setBundle(snapshot.trustBundle);
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
    const renewed = this.#tls !== undefined;
    this.#tls = {
      certificateChain: credentials.chainPem,
      privateKey: credentials.keyPem,
      trustBundle: credentials.bundle.join("\n"),
      trustDomain: credentials.identity.trustDomain,
    };
    this.#telemetry.sidecar.certificateExpiryS = credentials.notAfterMs / 1000;
    // Connections made with the old certificate end with their requests; new ones show the new one.
    if (renewed) this.#upstreams.retireConnections();
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
    return this.#health.healthy ? "ready" : "unhealthy";
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

function openConnections(listeners: readonly Listener[]): number {
  return listeners.reduce((sum, { connections }) => sum + connections.size, 0);
}

function applicationEndpoint(options: SidecarOptions, protocol: ApplicationProtocol): EndpointState {
  const { application, runtime } = options;
  return {
    endpoint: { instance: "application", ...application, labels: {} },
    pool: new Pool({ address: application, runtime, protocol }),
    active: 0,
  };
}

function acceptInto(runtime: Runtime, side: Side): AcceptRequest {
  return (downstream) => ({
    accept: (stream) => new Exchange(runtime, side, downstream, stream),
    unreadable: (fault) => recordUnreadable(runtime, side, downstream, fault),
  });
}
