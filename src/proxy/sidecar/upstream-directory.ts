/** The endpoints of every service that this sidecar may call, with their pools. Outlives snapshots. */

import type { PeerIdentity } from "../../ca/workload/svid.ts";
import { type ServiceRef, serviceRef } from "../../policy/names.ts";
import type { Endpoint, EndpointSet } from "../../projections/snapshot.ts";
import type { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import type { Address } from "../io/address.ts";
import { authorityOf, canonicalHost } from "../io/address.ts";
import type { PeerTls } from "../io/dial.ts";
import type { TlsIdentity } from "../io/tls.ts";
import { isPlaintext } from "../mtls.ts";
import type { Upstream } from "../route/compile.ts";
import type { Runtime } from "../runtime.ts";
import { ServiceEndpoints } from "../upstream/endpoints.ts";
import { Pool } from "../upstream/pool.ts";
import type { AvoidedInstance, ClusterView } from "./data-plane.ts";

/** What to show peers, and by whom theirs must be vouched for; asked at every dial. */
export interface PeerIdentities {
  readonly identity: TlsIdentity | undefined;
  /** For peers of that trust domain. */
  identityTowards(trustDomain: string): TlsIdentity | undefined;
}

export type PeerChecks = Pick<PeerTls, "revocation" | "onRefused">;

interface Entry {
  readonly ref: ServiceRef;
  readonly endpoints: ServiceEndpoints;
  /** As policy has it now; undefined until policy names the service. */
  upstream: Upstream | undefined;
  /** Whom the service's sidecars must prove to be; undefined until policy names the service. */
  spiffeId: string | undefined;
  /** Where it is, if it is another mesh's. */
  external: Upstream["external"];
  /** Its sidecars take no TLS. */
  plaintext: boolean;
  /** The set last taken, for the state directory. */
  set: EndpointSet | undefined;
  /** Those of the service, as policy declares them; none until policy names the service. */
  applicationPorts: readonly number[];
}

export class UpstreamDirectory {
  readonly #runtime: Runtime;
  readonly #identities: PeerIdentities;
  readonly #peers: PeerChecks;
  readonly #labels: Readonly<Record<string, string>>;
  readonly #entries = new Map<ServiceRef, Entry>();
  /** Services by the addresses of their applications, put together when it is asked for. */
  #byApplication: ReadonlyMap<string, ServiceRef | undefined> | undefined;
  /** Upstreams whose gauges have been shown. */
  #measured: ReadonlySet<ServiceRef> = new Set();

  /**
   * @param peers whom not to believe, and who is told of it.
   * @param labels of our own instance: near endpoints are preferred.
   */
  constructor(
    runtime: Runtime,
    identities: PeerIdentities,
    peers: PeerChecks = {},
    labels: Readonly<Record<string, string>> = {},
  ) {
    this.#runtime = runtime;
    this.#labels = labels;
    this.#identities = identities;
    this.#peers = peers;
  }

  get(service: ServiceRef): ServiceEndpoints | undefined {
    return this.#entries.get(service)?.endpoints;
  }

  /**
   * The service whose application is at an address: an endpoint's host with a port that policy declares. Undefined
   * where there is none, or more than one.
   */
  serviceAt({ host, port }: Address): ServiceRef | undefined {
    this.#byApplication ??= indexByApplication(this.#entries);
    return this.#byApplication.get(authorityOf({ host: canonicalHost(host), port }));
  }

  /** Takes a newer set; false where it is not newer. */
  replace(set: EndpointSet): boolean {
    const entry = this.#entry(serviceRef(set.namespace, set.name));
    // The service is another mesh's: instances here that announce themselves by its name are not it.
    if (entry.external !== undefined) return false;
    if (!entry.endpoints.replace(set, (endpoint) => this.#pool(entry, endpoint))) return false;
    entry.set = set;
    this.#byApplication = undefined;
    return true;
  }

  /** Keeps exactly these upstreams: connections to services that policy no longer lets us call end. */
  keep(upstreams: readonly Upstream[]): void {
    const wanted = new Map(upstreams.map((upstream) => [upstream.ref, upstream]));
    for (const [ref, entry] of this.#entries) {
      // One that is another mesh's now, or no longer, is another service by the same name.
      const isSame = (wanted.get(ref)?.external === undefined) === (entry.external === undefined);
      if (wanted.has(ref) && isSame) continue;
      entry.endpoints.closeAll();
      this.#entries.delete(ref);
      this.#byApplication = undefined;
    }
    for (const [ref, upstream] of wanted) {
      const entry = this.#entry(ref);
      // Of the table before: policy says nothing anew of it.
      if (entry.upstream !== upstream) this.#configure(entry, upstream);
    }
  }

  #configure(entry: Entry, upstream: Upstream): void {
    this.#byApplication = undefined;
    // A service of another mesh may have a new identity: peers of the former one get nothing more.
    if (entry.spiffeId !== undefined && entry.spiffeId !== upstream.spiffeId) {
      for (const { pool } of entry.endpoints.all) pool.closeConnections(({ id }) => id !== upstream.spiffeId);
    }
    entry.upstream = upstream;
    entry.spiffeId = upstream.spiffeId;
    const plaintext = isPlaintext(upstream.ports);
    if (plaintext !== entry.plaintext) for (const { pool } of entry.endpoints.all) pool.retireConnections();
    entry.plaintext = plaintext;
    entry.applicationPorts = upstream.ports.map(({ port }) => port);
    entry.endpoints.configure(upstream);
    if (upstream.external !== undefined) this.#locate(entry, upstream);
  }

  sets(): EndpointSet[] {
    return [...this.#entries.values()].flatMap((entry) => entry.set ?? []);
  }

  /** As `Pool.closeConnections`, for every upstream. */
  closeConnections(isRefused: (peer: PeerIdentity) => boolean): number {
    let closed = 0;
    for (const { endpoints } of this.#entries.values()) {
      for (const { pool } of endpoints.all) closed += pool.closeConnections(isRefused);
    }
    return closed;
  }

  retireConnections(): void {
    for (const { endpoints } of this.#entries.values()) {
      for (const { pool } of endpoints.all) pool.retireConnections();
    }
  }

  close(): void {
    for (const { endpoints } of this.#entries.values()) endpoints.closeAll();
    this.#entries.clear();
  }

  /** Brings the gauges of every upstream up to date, and drops those of the ones that left; called before a scrape. */
  measure({ circuitOpen, ejections, connections, overflows, ejectionsTotal }: SidecarMetrics): void {
    for (const upstream of this.#measured) {
      if (this.#entries.has(upstream)) continue;
      for (const gauge of [circuitOpen, ejections, connections]) gauge.remove({ upstream });
    }
    this.#measured = new Set(this.#entries.keys());
    for (const [upstream, { endpoints }] of this.#entries) {
      circuitOpen.cell({ upstream }).value = endpoints.breaker.isOpen ? 1 : 0;
      ejections.cell({ upstream }).value = endpoints.ejected.length;
      connections.cell({ upstream }).value = endpoints.all.reduce((sum, { pool }) => sum + pool.size, 0);
      for (const [bound, count] of endpoints.breaker.overflows) overflows.cell({ upstream, bound }).value = count;
      for (const [reason, count] of endpoints.outliers.ejections) {
        ejectionsTotal.cell({ upstream, reason }).value = count;
      }
    }
  }

  /** For `/clusters`. */
  describe(): ClusterView[] {
    return [...this.#entries].map(([service, { endpoints, spiffeId }]) => ({
      service,
      spiffeId,
      version: endpoints.version,
      endpoints: endpoints.view().map(({ state, isEjected, avoided }) => ({
        instance: state.endpoint.instance,
        address: `${state.endpoint.host}:${state.endpoint.port}`,
        labels: state.endpoint.labels,
        activeRequests: state.active,
        pendingRequests: state.pool.pending,
        connections: state.pool.size,
        ejected: isEjected,
        avoided,
      })),
    }));
  }

  /** Instances that are left out of balancing now; the first so many. */
  avoided(max: number): AvoidedInstance[] {
    const found: AvoidedInstance[] = [];
    for (const [service, { endpoints }] of this.#entries) {
      for (const { state, avoided: reason } of endpoints.view("avoided")) {
        if (found.length === max) return found;
        if (reason !== undefined) found.push({ service, instance: state.endpoint.instance, reason });
      }
    }
    return found;
  }

  /** Takes the endpoints of a service of another mesh from policy, where they have changed. */
  #locate(entry: Entry, { namespace, name, external }: Upstream): void {
    const unchanged = JSON.stringify(entry.external?.addresses) === JSON.stringify(external?.addresses);
    entry.external = external;
    if (unchanged) return;
    const endpoints = (external?.addresses ?? []).map(({ host, port }): Endpoint => {
      return { instance: authorityOf({ host, port }), host, port, labels: {} };
    });
    const set = { namespace, name, version: entry.endpoints.version + 1, endpoints };
    entry.endpoints.replace(set, (endpoint) => this.#pool(entry, endpoint));
  }

  #entry(service: ServiceRef): Entry {
    let entry = this.#entries.get(service);
    if (entry === undefined) {
      entry = {
        endpoints: new ServiceEndpoints(this.#runtime.monotonicMs, this.#labels),
        ref: service,
        upstream: undefined,
        spiffeId: undefined,
        external: undefined,
        plaintext: false,
        set: undefined,
        applicationPorts: [],
      };
      this.#entries.set(service, entry);
    }
    return entry;
  }

  #pool(entry: Entry, endpoint: Endpoint): Pool {
    return new Pool({
      address: { host: endpoint.host, port: endpoint.port },
      runtime: this.#runtime,
      protocol: "h2",
      bounds: () => entry.endpoints.breaker.bounds,
      mayWait: () => entry.endpoints.breaker.takes("maxPendingRequests"),
      mayDial: (isForCopies) => {
        const { breaker } = entry.endpoints;
        return isForCopies ? breaker.sparesConnection() : breaker.takes("maxConnections");
      },
      tls: () => {
        if (entry.plaintext) return "plaintext";
        const { spiffeId: expectedSpiffeId, external } = entry;
        const { identity: own } = this.#identities;
        const identity = external === undefined ? own : this.#identities.identityTowards(external.trustDomain);
        if (identity === undefined || expectedSpiffeId === undefined) return undefined;
        return { ...this.#peers, identity, expectedSpiffeId, serverName: serverNameOf(expectedSpiffeId) };
      },
    });
  }
}

/** `catalog.shop.mesh.local` of `spiffe://mesh.local/ns/shop/sa/catalog`: as the service is called where it is. */
function serverNameOf(spiffeId: string): string {
  const [, , trustDomain, , namespace, , service] = spiffeId.split("/");
  return `${service}.${namespace}.${trustDomain}`;
}

function indexByApplication(entries: ReadonlyMap<ServiceRef, Entry>): Map<string, ServiceRef | undefined> {
  const index = new Map<string, ServiceRef | undefined>();
  for (const [ref, { applicationPorts, endpoints, external }] of entries) {
    // Nobody is intercepted on the way to a sidecar's own address.
    if (external !== undefined) continue;
    for (const { endpoint } of endpoints.all) {
      for (const port of applicationPorts) {
        const key = authorityOf({ host: canonicalHost(endpoint.host), port });
        // Two services at one address: the address alone cannot tell which of them is meant.
        index.set(key, index.has(key) && index.get(key) !== ref ? undefined : ref);
      }
    }
  }
  return index;
}
