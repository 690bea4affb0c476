/** What carries a sidecar's traffic, wherever it runs: the port between `sidecar.ts` and that. */

import type { ServiceRef } from "../../policy/names.ts";
import {
  AVOIDED_MAX,
  type EndpointSet,
  type InstanceStatus,
  type ServiceSnapshot,
} from "../../projections/snapshot.ts";
import type { MetricFamily } from "../../telemetry/metric-family.ts";
import type { TrafficCall } from "../../telemetry/traffic-summary.ts";
import type { Address } from "../io/address.ts";
import type { TlsIdentity } from "../io/tls.ts";

/** One upstream as `/clusters` shows it. */
export interface ClusterView {
  readonly service: string;
  readonly spiffeId: string | undefined;
  readonly version: number;
  readonly endpoints: readonly {
    readonly instance: string;
    readonly address: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly activeRequests: number;
    readonly pendingRequests: number;
    readonly connections: number;
    readonly ejected: boolean;
    /** Why it is left out of balancing, if it is: an outlier's reason, or `unreachable`. */
    readonly avoided?: string | undefined;
  }[];
}

/** What a data plane counted of calls. */
export interface TrafficBatch {
  readonly calls: readonly TrafficCall[];
  /** Calls that are in no batch, since the last one. */
  readonly dropped: number;
}

export type AvoidedInstance = NonNullable<InstanceStatus["avoided"]>[number];

/** The instances that some of these upstreams leave out, as many as a status tells of. */
export function avoidedIn(views: readonly ClusterView[]): AvoidedInstance[] {
  const avoided = views.flatMap(({ service, endpoints }) =>
    endpoints.flatMap(({ instance, avoided: reason }) => (reason === undefined ? [] : [{ service, instance, reason }])),
  );
  return avoided.slice(0, AVOIDED_MAX);
}

/** Where a data plane listens. */
export interface ListenerAddresses {
  readonly inbound: Address;
  readonly outbound: Address;
  readonly outboundTls?: Address | undefined;
  /** Those for a single service, in the order of the options. */
  readonly upstreams: readonly Address[];
}

/** Knows nothing of NATS: it is told what is in force, whom to trust and where others are. */
export interface DataPlane {
  /** Takes connections: `listen` has resolved, and what listens is alive. */
  readonly ready: boolean;
  /** Undefined until `listen` has resolved. */
  readonly addresses: ListenerAddresses | undefined;
  /** Of the snapshot in force; 0: none yet. */
  readonly revision: number;
  /** For `MetricsPage`; `measure` brings them up to date. */
  readonly families: readonly MetricFamily[];
  /**
   * Puts a snapshot in force as a whole, and returns the services that it lets us call. Throws where it cannot be
   * enforced, having changed nothing.
   */
  enforce(snapshot: ServiceSnapshot): readonly ServiceRef[];
  /** Takes a newer set of endpoints; false where it is not newer. */
  replaceEndpoints(set: EndpointSet): boolean;
  /** The sets last taken, of the services that may be called. */
  sets(): EndpointSet[];
  /** What to show peers and whom to believe, from now on. */
  useIdentity(identity: TlsIdentity): void;
  /** Rejects, with nothing left open, where one of the addresses cannot be listened on. */
  listen(): Promise<void>;
  measure(): Promise<void>;
  /** The calls since the last time, for the traffic ledger: whoever takes them has them. */
  takeTraffic(): Promise<TrafficBatch>;
  /** Instances of others that are left out of balancing now, the first of them, as far as is known without asking. */
  avoided(): readonly AvoidedInstance[];
  /** For `/clusters`. */
  clusters(): Promise<ClusterView[]>;
  /** Takes nothing new, and lets requests under way end. Resolves with the connections left after `timeoutMs`. */
  drain(timeoutMs: number): Promise<number>;
  /** Ends everything now. */
  close(): Promise<void>;
}
