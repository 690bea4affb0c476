/** What a sidecar is told when it starts. */

import type { Bucket, Bus } from "../../nats/bus.ts";
import type { AccessLog } from "../../telemetry/access-log.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { OriginalDestination } from "../intercept/original-destination.ts";
import type { Address } from "../io/listener.ts";
import type { Runtime } from "../runtime.ts";
import type { HealthCheck } from "./app-health.ts";

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
  /** Connections are redirected to us; absent: whoever wants something of us says so. */
  readonly interception?: Interception | undefined;
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
  readonly address: Address;
}
