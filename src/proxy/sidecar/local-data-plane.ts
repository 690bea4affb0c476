/** The part of a sidecar that carries traffic, in this very process. */

import type { ServiceRef } from "../../policy/names.ts";
import { AVOIDED_MAX, type EndpointSet, type ServiceSnapshot } from "../../projections/snapshot.ts";
import type { MetricFamily } from "../../telemetry/metric-family.ts";
import { RequestMetrics } from "../../telemetry/request-metrics.ts";
import { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import { TrafficRecorder } from "../../telemetry/traffic-recorder.ts";
import type { TlsIdentity } from "../io/tls.ts";
import { JwksCache } from "../jwt/jwks-cache.ts";
import { acceptedBy } from "../mtls.ts";
import { compilePolicy, type Policy } from "../policy.ts";
import { QuotaClient } from "../quota-client.ts";
import { normalisePath } from "../route/path.ts";
import type { Telemetry } from "../telemetry.ts";
import { Applications } from "./applications.ts";
import type { AvoidedInstance, ClusterView, DataPlane, ListenerAddresses, TrafficBatch } from "./data-plane.ts";
import { openListeners, type SidecarListeners } from "./listeners.ts";
import type { DataPlaneOptions } from "./options.ts";
import { PeerTrust } from "./peer-trust.ts";
import { type PeerChecks, UpstreamDirectory } from "./upstream-directory.ts";

export class LocalDataPlane implements DataPlane {
  readonly families: readonly MetricFamily[];
  readonly #options: DataPlaneOptions;
  readonly #telemetry: Telemetry;
  readonly #upstreams: UpstreamDirectory;
  readonly #applications: Applications;
  readonly #quota: QuotaClient | undefined;
  #policy: Policy | undefined;
  readonly #trust: PeerTrust;
  readonly #jwks: JwksCache;
  #listeners: SidecarListeners | undefined;

  /** @param sidecarMetrics shared with whoever else of the sidecar has numbers to show. */
  constructor(options: DataPlaneOptions, sidecarMetrics = new SidecarMetrics()) {
    const { accessLog, runtime, logger } = options;
    this.#options = options;
    const traffic = new TrafficRecorder({ normalise: readPath });
    this.#telemetry = { requests: new RequestMetrics(), sidecar: sidecarMetrics, accessLog, traffic };
    this.families = [
      ...this.#telemetry.requests.families(),
      ...sidecarMetrics.families(runtime.wallMs),
      ...(accessLog?.families() ?? []),
    ];
    this.#quota = options.askQuota && new QuotaClient(runtime, options.askQuota);
    this.#trust = new PeerTrust({ runtime, logger, metrics: sidecarMetrics });
    const peers: PeerChecks = {
      revocation: this.#trust.revocation,
      onRefused: (peer, refusal) => this.#trust.refused("outbound", peer, refusal),
    };
    this.#upstreams = new UpstreamDirectory(runtime, this.#trust, peers, options.labels);
    this.#applications = new Applications(options, runtime);
    this.#jwks = new JwksCache({
      runtime,
      fetched: sidecarMetrics.jwksFetches,
      onFailed: (uri, reason) => logger.warn({ uri, reason }, "cannot fetch the keys of a token issuer"),
    });
  }

  get ready(): boolean {
    return this.#listeners !== undefined;
  }

  get addresses(): ListenerAddresses | undefined {
    return this.#listeners?.addresses;
  }

  get revision(): number {
    return this.#policy?.snapshot.revision ?? 0;
  }

  enforce(snapshot: ServiceSnapshot): readonly ServiceRef[] {
    const { runtime, labels, sharedListeners = false } = this.#options;
    const quota = { quota: this.#quota, leasesAll: sharedListeners };
    const sources = { jwks: this.#jwks, wallMs: runtime.wallMs, labels, ...quota };
    const policy = compilePolicy(snapshot, sources, this.#policy);
    const isLessBelieved = this.#trust.useSnapshot(snapshot);
    this.#policy = policy;
    this.#jwks.follow(snapshot.inbound.jwt?.providers.flatMap(({ jwksUri }) => jwksUri ?? []) ?? []);
    const { upstreams } = policy.routes;
    this.#upstreams.keep(upstreams);
    if (isLessBelieved) this.#closeRevoked();
    this.#listeners?.review();
    if (!acceptedBy(policy).plaintext) this.#drainPlaintext();
    // Those of other meshes announce nothing here.
    return upstreams.filter(({ external }) => external === undefined).map(({ ref }) => ref);
  }

  replaceEndpoints(set: EndpointSet): boolean {
    return this.#upstreams.replace(set);
  }

  sets(): EndpointSet[] {
    return this.#upstreams.sets();
  }

  useIdentity(identity: TlsIdentity): void {
    const previous = this.#trust.useIdentity(identity);
    if (previous === undefined) return;
    // Connections made with the old certificate end with their requests; new ones show the new one.
    this.#upstreams.retireConnections();
    // A root is trusted no longer: whoever it vouched for must show another certificate.
    const roots = rootsOf(identity);
    if (rootsOf(previous).some((root) => !roots.includes(root))) {
      for (const connection of this.#listeners?.peerConnections() ?? []) connection.drain();
    }
  }

  /** Mutual TLS is required from now on: plaintext connections may finish their requests and get no others. */
  #drainPlaintext(): void {
    for (const connection of this.#listeners?.peerConnections() ?? []) {
      if (connection.facts.principal === undefined) connection.drain();
    }
  }

  /** Revoked is revoked at once: what was let in before and would not be now ends, whatever is under way on it. */
  #closeRevoked(): void {
    const outbound = this.#upstreams.closeConnections((peer) => this.#trust.isRefused(peer));
    let inbound = 0;
    for (const { facts, wire } of [...(this.#listeners?.peerConnections() ?? [])]) {
      if (!this.#trust.isRefused(facts.peer)) continue;
      wire.destroy();
      inbound++;
    }
    if (outbound + inbound === 0) return;
    const { connectionsRevoked } = this.#telemetry.sidecar;
    connectionsRevoked.cell({ direction: "inbound" }).value += inbound;
    connectionsRevoked.cell({ direction: "outbound" }).value += outbound;
    this.#options.logger.warn(
      { inbound, outbound },
      "closed the connections of identities that are believed no longer",
    );
  }

  async listen(): Promise<void> {
    this.#listeners = openListeners(this.#options, {
      telemetry: this.#telemetry,
      policy: () => this.#policy,
      identity: () => this.#trust.identity,
      domains: () => this.#trust.domains,
      revocation: this.#trust.revocation,
      onRefused: (peer, refusal) => this.#trust.refused("inbound", peer, refusal),
      upstreams: this.#upstreams,
      applications: this.#applications,
    });
  }

  async measure(): Promise<void> {
    this.#upstreams.measure(this.#telemetry.sidecar);
  }

  async takeTraffic(): Promise<TrafficBatch> {
    const { traffic } = this.#telemetry;
    const calls = traffic.take();
    const { dropped } = traffic;
    traffic.dropped = 0;
    return { calls, dropped };
  }

  avoided(): readonly AvoidedInstance[] {
    return this.#upstreams.avoided(AVOIDED_MAX);
  }

  async clusters(): Promise<ClusterView[]> {
    return this.#upstreams.describe();
  }

  async drain(timeoutMs: number): Promise<number> {
    const { monotonicMs } = this.#options.runtime;
    const deadlineMs = monotonicMs() + timeoutMs;
    return (await this.#listeners?.drain(() => monotonicMs() < deadlineMs)) ?? 0;
  }

  async close(): Promise<void> {
    this.#listeners?.close();
    this.#upstreams.close();
    this.#applications.close();
    this.#jwks.close();
  }
}

function readPath(path: string): string | undefined {
  const read = normalisePath(path);
  return read.ok ? read.value : undefined;
}

function rootsOf({ trustBundle }: TlsIdentity): string[] {
  return trustBundle.split(/(?=-----BEGIN )/).map((pem) => pem.trim());
}
