/** Real sidecars in this process, as services of a mesh whose NATS a test has started. */

import { join } from "node:path";
import { directReader } from "../../src/nats/buckets.ts";
import { connectBus } from "../../src/nats/connection.ts";
import { issuerOf } from "../../src/nats/credentials.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET } from "../../src/nats/subjects.ts";
import type { Limits } from "../../src/proxy/limits.ts";
import { systemRuntime } from "../../src/proxy/runtime.ts";
import type { SidecarOptions } from "../../src/proxy/sidecar/options.ts";
import { Sidecar } from "../../src/proxy/sidecar/sidecar.ts";
import { type AccessLog, openAccessLog } from "../../src/telemetry/access-log.ts";
import { leanLogger } from "../../src/telemetry/logger.ts";
import type { TestNats } from "./nats.ts";

export interface SidecarSpec {
  /** `namespace/name`. */
  readonly service: string;
  /** Port of the application on 127.0.0.1. */
  readonly appPort: number;
  /** Where it listens for single ports of its Service. */
  readonly appPorts?: SidecarOptions["applicationPorts"];
  readonly trustDomain?: string;
  readonly labels?: Record<string, string>;
  readonly limits?: Partial<Limits>;
  readonly appHealth?: SidecarOptions["appHealth"];
  readonly upstreams?: SidecarOptions["upstreams"];
  readonly trafficIntervalMs?: number;
  readonly outboundTls?: SidecarOptions["outboundTls"];
  /** The sidecar's wall clock; the real one by default. */
  readonly wallMs?: () => number;
  /** And its monotonic one, by which it judges others; its timers keep to the real one. */
  readonly monotonicMs?: () => number;
}

export interface TestSidecar {
  readonly sidecar: Sidecar;
  /** `http://127.0.0.1:<outbound port>`. */
  readonly outbound: string;
  readonly admin: string;
  readonly accessLogFile: string;
  stop(): Promise<void>;
  /** Goes as a crash does: the mesh still counts on it. */
  crash(): Promise<void>;
}

/** @param number sets the instance apart from its brothers: `<service>-<number>` */
export async function startTestSidecar(nats: TestNats, spec: SidecarSpec, number: number): Promise<TestSidecar> {
  const [namespace = "", service = ""] = spec.service.split("/");
  const credentials = await nats.mintService(namespace, service);
  // A machine that is busy with other tests may not answer the first attempt in time.
  const retryUntil = AbortSignal.timeout(30_000);
  const bus = await connectBus({ url: nats.url, credentials, name: spec.service, onError: () => {}, retryUntil });
  const instance = `${service}-${number}`;
  const stateDirectory = join(nats.directory.path, "sidecars", instance);
  const anywhere = { host: "127.0.0.1", port: 0 };
  const accessLogFile = join(nats.directory.path, `${instance}.log`);
  const accessLog: AccessLog | undefined = await openAccessLog(accessLogFile, { flushMs: 5 });
  const sidecar = await Sidecar.start({
    namespace,
    service,
    trustDomain: spec.trustDomain ?? "mesh.local",
    instance,
    labels: spec.labels ?? {},
    version: "test",
    application: { host: "127.0.0.1", port: spec.appPort },
    applicationPorts: spec.appPorts,
    healthAddress: { host: "127.0.0.1", port: spec.appPort },
    appHealth: spec.appHealth ?? { kind: "none" },
    waitForApplication: false,
    inbound: anywhere,
    advertisedHost: "127.0.0.1",
    outbound: anywhere,
    upstreams: spec.upstreams ?? [],
    outboundTls: spec.outboundTls,
    admin: anywhere,
    health: undefined,
    metrics: undefined,
    stateDirectory,
    ...(spec.trafficIntervalMs === undefined ? {} : { trafficIntervalMs: spec.trafficIntervalMs }),
    mesh: issuerOf(credentials),
    user: credentials.publicKey,
    bus,
    config: directReader(bus, CONFIG_BUCKET),
    endpoints: directReader(bus, ENDPOINT_BUCKET),
    accessLog,
    logger: leanLogger("silent"),
    runtime: {
      ...systemRuntime(spec.limits),
      wallMs: spec.wallMs ?? Date.now,
      ...(spec.monotonicMs === undefined ? {} : { monotonicMs: spec.monotonicMs }),
    },
    onQuit: () => {},
  });
  const started: TestSidecar = {
    sidecar,
    outbound: `http://127.0.0.1:${sidecar.outboundAddress.port}`,
    admin: `http://127.0.0.1:${sidecar.adminAddress.port}`,
    accessLogFile,
    crash: async () => {
      // Without NATS it can take leave of nobody; its listeners and connections go at once.
      await bus.close();
      await started.stop();
    },
    stop: async () => {
      await sidecar.stop();
      await accessLog?.close();
      await bus.close();
    },
  };
  return started;
}
