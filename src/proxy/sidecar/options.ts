/** What a sidecar is told when it starts. */

import type { Bucket, Bus } from "../../nats/bus.ts";
import type { AccessLog } from "../../telemetry/access-log.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import type { OriginalDestination } from "../intercept/original-destination.ts";
import type { Address } from "../io/address.ts";
import type { AskQuota } from "../quota-client.ts";
import type { Runtime } from "../runtime.ts";
import type { HealthCheck } from "./app-health.ts";
import type { ApplicationAddresses } from "./applications.ts";
import type { DataPlane } from "./data-plane.ts";

/** What the traffic of a sidecar needs to know from the start. */
export interface DataPlaneOptions extends ApplicationAddresses {
  readonly trustDomain: string;
  /** Of this instance. */
  readonly labels: Readonly<Record<string, string>>;
  /** Where peers come in (mutual TLS). */
  readonly inbound: Address;
  /** Where the application's own calls come in. */
  readonly outbound: Address;
  /** Where the application's own TLS comes in, each connection for the service that its server name says. */
  readonly outboundTls?: Address | undefined;
  /** Listeners of their own for single services, whatever their protocol. */
  readonly upstreams: readonly BoundListener[];
  /** Connections are redirected to us; absent: whoever wants something of us says so. */
  readonly interception?: Interception | undefined;
  /** Other processes listen on the same addresses, and the kernel spreads connections over all of them. */
  readonly sharedListeners?: boolean;
  /** Where tokens of mesh-wide rate limits come from; absent: such limits hold for each process by itself. */
  readonly askQuota?: AskQuota | undefined;
  readonly accessLog: AccessLog | undefined;
  readonly logger: Logger;
  readonly runtime: Runtime;
}

export interface SidecarOptions extends DataPlaneOptions {
  readonly namespace: string;
  readonly service: string;
  /** Names this instance in the mesh; unique among the service's instances. */
  readonly instance: string;
  readonly version: string;
  readonly appHealth: HealthCheck;
  /** Where the application is asked. */
  readonly healthAddress: Address;
  /** Listen only when the application has been healthy once. */
  readonly waitForApplication: boolean;
  /**
   * Carries the traffic; absent: this process does. It shows `metrics` beside its own, and calls `onChange` when its
   * revision or its readiness changed by itself; `askQuota` has the tokens of mesh-wide rate limits.
   */
  readonly dataPlane?: (metrics: SidecarMetrics, askQuota: AskQuota, onChange: () => void) => DataPlane;
  /** The host under which peers find the inbound listener. */
  readonly advertisedHost: string;
  /** Loopback only. */
  readonly admin: Address;
  readonly health: Address | undefined;
  readonly metrics: Address | undefined;
  readonly stateDirectory: string;
  /** Between two reports to the traffic ledger, in milliseconds; 0: none. A minute by default. */
  readonly trafficIntervalMs?: number;
  /** Names the mesh that issued our credentials; state of another is not believed. */
  readonly mesh: string;
  /** nkey (`U…`) of the credentials that `bus` uses: certificates are asked for in its name. */
  readonly user: string;
  readonly bus: Bus;
  readonly config: Pick<Bucket, "get">;
  readonly endpoints: Pick<Bucket, "get">;
  /** `/quitquitquit` was called. */
  readonly onQuit: () => void;
}

/** What is needed to take in redirected connections. */
export interface Interception {
  readonly originalDestination: OriginalDestination;
  /** This machine speaks IPv6: its connections are redirected as well, to listeners of their own. */
  readonly ipv6: boolean;
  /** Connections to somebody outside the mesh: let through as they are, or refused. */
  readonly outboundTrafficPolicy: OutboundTrafficPolicy;
}

/** Istio's names, as its `outboundTrafficPolicy`. */
export type OutboundTrafficPolicy = "registry-only" | "allow-any";

/** A local address that stands for one service. */
export interface BoundListener {
  readonly namespace: string;
  readonly name: string;
  /** Of the service; absent: its first. */
  readonly port?: number | undefined;
  readonly address: Address;
}
