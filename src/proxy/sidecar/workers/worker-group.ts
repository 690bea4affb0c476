/**
 * The data plane as several processes on the same addresses (SO_REUSEPORT). The sidecar keeps what exists only once:
 * its registration in the mesh, its certificate, its HTTP pages. Each worker is told what is in force and carries a
 * share of the connections. One that dies takes its own connections with it, and is started again.
 */

import type { ServiceRef } from "../../../policy/names.ts";
import { serviceRef } from "../../../policy/names.ts";
import type { EndpointSet, ServiceSnapshot } from "../../../projections/snapshot.ts";
import type { MetricFamily } from "../../../telemetry/metric-family.ts";
import { MetricSum } from "../../../telemetry/metric-sum.ts";
import type { TlsIdentity } from "../../io/tls.ts";
import { NO_KEYS } from "../../jwt/jwks-cache.ts";
import { compilePolicy, type Policy } from "../../policy.ts";
import {
  type AvoidedInstance,
  avoidedIn,
  type ClusterView,
  type DataPlane,
  type ListenerAddresses,
  type TrafficBatch,
} from "../data-plane.ts";
import { sumClusters } from "./cluster-sum.ts";
import type { WorkerOrder } from "./messages.ts";
import { snapshotOrders } from "./snapshot-orders.ts";
import { WorkerLink, type WorkerProcess } from "./worker-link.ts";
import type { WorkerQuota } from "./worker-quota.ts";

/** Keeps one child running; resolves when it has been ready once, rejects where it did not become so. */
export type Supervise = (options: {
  readonly name: string;
  readonly launch: () => Promise<WorkerProcess>;
}) => Promise<{ stop(): Promise<void> }>;

export interface WorkerGroupOptions {
  readonly count: number;
  readonly trustDomain: string;
  /** Asked for before any worker is started: which ports to listen on, where any would do. */
  readonly reserve: () => ListenerAddresses;
  /** Starts the process of a worker. */
  readonly spawn: (worker: number, onMessage: (message: unknown) => void) => WorkerProcess;
  readonly supervise: Supervise;
  /** Hands out tokens of rate limits to the workers. */
  readonly quota: WorkerQuota;
  /** What this process counts itself; the workers' numbers are added. */
  readonly families: readonly MetricFamily[];
  /** The revision that all workers enforce, or whether there are any, has changed. */
  readonly onChange: () => void;
}

/** How often workers report without being asked: at most so much of a worker's counts is lost when it is killed. */
const REPORT_EVERY_MS = 2_000;
/** Workers heed the instance's own; here nothing is routed. */
const NO_LABELS = {};

export class WorkerGroup implements DataPlane {
  readonly families: readonly MetricFamily[];
  readonly #options: WorkerGroupOptions;
  readonly #metrics: MetricSum;
  readonly #sets = new Map<ServiceRef, EndpointSet>();
  readonly #links = new Map<number, WorkerLink>();
  #supervisors: { stop(): Promise<void> }[] = [];
  #snapshot: ServiceSnapshot | undefined;
  #policy: Policy | undefined;
  #identity: TlsIdentity | undefined;
  #addresses: ListenerAddresses | undefined;
  /** What workers handed over and nobody took yet: asked for before each taking, and so soon taken. */
  #traffic: TrafficBatch[] = [];
  #reporting: ReturnType<typeof setInterval> | undefined;

  constructor(options: WorkerGroupOptions) {
    this.#options = options;
    this.#metrics = new MetricSum(options.families);
    this.families = this.#metrics.families;
  }

  get ready(): boolean {
    return this.#listening.length > 0;
  }

  get addresses(): ListenerAddresses | undefined {
    return this.#addresses;
  }

  /** What every worker enforces that takes connections: the oldest of them all. */
  get revision(): number {
    const own = this.#snapshot?.revision ?? 0;
    return Math.min(own, ...this.#listening.map(({ revision }) => revision));
  }

  enforce(snapshot: ServiceSnapshot): readonly ServiceRef[] {
    // Compiled here as well, so that what cannot be enforced is refused before any worker has heard of it.
    this.#policy = compilePolicy(snapshot, { jwks: NO_KEYS, wallMs: Date.now, labels: NO_LABELS }, this.#policy);
    const { upstreams } = this.#policy.routes;
    const orders = snapshotOrders(snapshot, this.#snapshot?.upstreams);
    this.#snapshot = snapshot;
    this.#options.quota.enforce(snapshot);
    const callable = upstreams.map(({ ref }) => ref);
    for (const ref of this.#sets.keys()) if (!callable.includes(ref)) this.#sets.delete(ref);
    for (const order of orders) this.#tell(order);
    return callable;
  }

  replaceEndpoints(set: EndpointSet): boolean {
    const ref = serviceRef(set.namespace, set.name);
    const known = this.#sets.get(ref);
    if (known !== undefined && known.version >= set.version) return false;
    this.#sets.set(ref, set);
    this.#tell({ kind: "endpoints", set });
    return true;
  }

  sets(): EndpointSet[] {
    return [...this.#sets.values()];
  }

  useIdentity(identity: TlsIdentity): void {
    this.#identity = identity;
    this.#tell({ kind: "identity", identity });
  }

  async listen(): Promise<void> {
    const { count, reserve, supervise } = this.#options;
    this.#addresses = reserve();
    const starting = Array.from({ length: count }, (_, worker) =>
      supervise({ name: `worker ${worker}`, launch: () => this.#launch(worker) }),
    );
    const started = await Promise.allSettled(starting);
    this.#supervisors = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const failed = started.find((one) => one.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    this.#reporting = setInterval(() => void this.measure(), REPORT_EVERY_MS);
  }

  async measure(): Promise<void> {
    await Promise.all(this.#listening.map((link) => link.report()));
  }

  async takeTraffic(): Promise<TrafficBatch> {
    await Promise.all(this.#listening.map((link) => link.traffic()));
    const batches = this.#traffic.splice(0);
    return {
      calls: batches.flatMap(({ calls }) => calls),
      dropped: batches.reduce((sum, { dropped }) => sum + dropped, 0),
    };
  }

  /** Of the last reports: what a scrape or `/clusters` asked for. */
  avoided(): readonly AvoidedInstance[] {
    return avoidedIn(sumClusters(this.#listening.map(({ clusters }) => clusters)));
  }

  async clusters(): Promise<ClusterView[]> {
    await this.measure();
    return sumClusters(this.#listening.map(({ clusters }) => clusters));
  }

  async drain(timeoutMs: number): Promise<number> {
    const left = await Promise.all(Array.from(this.#links.values(), (link) => link.drain(timeoutMs)));
    return left.reduce((sum, connections) => sum + connections, 0);
  }

  async close(): Promise<void> {
    clearInterval(this.#reporting);
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.stop()));
  }

  get #listening(): WorkerLink[] {
    return [...this.#links.values()].filter(({ listening }) => listening);
  }

  #tell(order: WorkerOrder): void {
    for (const link of this.#links.values()) link.tell(order);
  }

  /** Starts a worker and tells it everything that is in force. Resolves when it takes connections. */
  async #launch(worker: number): Promise<WorkerProcess> {
    const { spawn, trustDomain, quota, onChange } = this.#options;
    const addresses = this.#addresses;
    if (addresses === undefined) throw new Error("a worker is started before it is known where it should listen");
    const link = new WorkerLink({
      spawn: (onMessage) => spawn(worker, onMessage),
      onMetrics: (metrics) => this.#metrics.set(worker, metrics),
      onTraffic: (batch) => void this.#traffic.push(batch),
      onQuota: (request) => quota.answer(request),
      onEnforcing: onChange,
    });
    // From here on it hears whatever changes; what is in force already comes first, for nothing was told between.
    this.#links.set(worker, link);
    link.tell({ kind: "start", trustDomain, addresses });
    if (this.#identity !== undefined) link.tell({ kind: "identity", identity: this.#identity });
    for (const order of this.#snapshot === undefined ? [] : snapshotOrders(this.#snapshot)) link.tell(order);
    for (const set of this.#sets.values()) link.tell({ kind: "endpoints", set });
    link.tell({ kind: "listen" });
    void link.process.exited.then(() => {
      this.#links.delete(worker);
      this.#metrics.departed(worker);
      onChange();
    });
    await link.whenListening;
    onChange();
    return link.process;
  }
}
