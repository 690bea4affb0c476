/** `heddle sidecar`: the proxy beside one instance of a service. */

import { hostname } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { issuerOf } from "../../nats/credentials.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET } from "../../nats/subjects.ts";
import { parseServiceRef } from "../../policy/names.ts";
import { messageOf } from "../../projections/backoff.ts";
import type { Address } from "../../proxy/io/address.ts";
import { LocalDataPlane } from "../../proxy/sidecar/local-data-plane.ts";
import type { DataPlaneOptions, SidecarOptions } from "../../proxy/sidecar/options.ts";
import { Sidecar } from "../../proxy/sidecar/sidecar.ts";
import { reserveAddresses } from "../../proxy/sidecar/workers/reserve.ts";
import { WorkerGroup } from "../../proxy/sidecar/workers/worker-group.ts";
import { WorkerQuota } from "../../proxy/sidecar/workers/worker-quota.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { EXIT_FAILED, Failure, UsageError } from "../failure.ts";
import { advertisedHost } from "../input/address.ts";
import { lockInstance } from "../processes/instance-lock.ts";
import { connect, connectionTarget } from "../processes/sidecar-connection.ts";
import {
  dataPlaneOptions,
  declareSidecarOptions,
  healthAddress,
  pageAddresses,
  parseHealthCheck,
  type SidecarArguments,
} from "../processes/sidecar-options.ts";
import { onStopSignals } from "../processes/stop-signals.ts";
import { Supervisor } from "../processes/supervisor.ts";
import { spawnWorker } from "../processes/worker-child.ts";
import { VERSION } from "../program.ts";

/** A sidecar that is not ready by then says once what it waits for. */
const READY_SOON_MS = 5_000;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await declareSidecarOptions(command)
    .action((options: SidecarArguments) => runSidecar(options, args))
    .parseAsync(args, { from: "user" });
}

async function runSidecar(options: SidecarArguments, args: readonly string[]): Promise<void> {
  const service = parseServiceRef(options.service);
  if (service === undefined) {
    throw new UsageError(`--service: '${options.service}' is no service; write NAMESPACE/NAME, such as shop/catalog`);
  }
  const pages = pageAddresses(options);
  const appHealth = parseHealthCheck(options.appHealth);
  const settings = await dataPlaneOptions(options);
  const target = await connectionTarget(options, service);
  const plane = { ...settings, trustDomain: target.trustDomain };
  const { accessLog, logger, inbound } = plane;
  const instance = options.instance ?? instanceName(inbound.port);
  const stateDirectory = options.stateDir ?? join(target.stateRoot, `${service.namespace}.${service.name}.${instance}`);
  const unlock = await lockInstance(stateDirectory, instance);
  const stop = Promise.withResolvers<void>();
  const connection = connect(target, `heddle sidecar ${options.service} ${instance}`, logger);
  connection.refused.catch(stop.reject);
  const { bus } = connection;
  await using ending = new AsyncDisposableStack();
  ending.defer(unlock);
  ending.defer(async () => void (await accessLog?.close()));
  ending.defer(() => connection.close());

  const sidecar = await Sidecar.start({
    namespace: service.namespace,
    service: service.name,
    ...plane,
    ...pages,
    ...(options.workers > 1 ? { dataPlane: workersOf(options.workers, plane, args) } : {}),
    instance,
    version: VERSION,
    appHealth,
    healthAddress: healthAddress(options),
    waitForApplication: options.waitApp,
    trafficIntervalMs: options.trafficInterval,
    advertisedHost: options.advertise ?? advertisedHost(inbound.host),
    stateDirectory,
    mesh: issuerOf(target.credentials),
    user: target.credentials.publicKey,
    bus,
    config: bus.reader(CONFIG_BUCKET),
    endpoints: bus.reader(ENDPOINT_BUCKET),
    onQuit: () => stop.resolve(),
  }).catch((error: unknown) => {
    throw new Failure(`the sidecar cannot start: ${messageOf(error)}`, { cause: error });
  });
  ending.defer(() => sidecar.stop());
  announce(sidecar, instance, logger);

  // The first signal drains, the second does not wait.
  let signals = 0;
  const onSignal = (): void => (++signals === 1 ? stop.resolve() : process.exit(EXIT_FAILED));
  onStopSignals(onSignal);
  const slow = setTimeout(() => {
    const missing = sidecar.notReady();
    if (missing !== undefined) logger.warn({}, `not ready yet: ${missing}`);
  }, READY_SOON_MS);
  ending.defer(() => clearTimeout(slow));
  await stop.promise;
  await sidecar.drain();
  await ending.disposeAsync();
  logger.info({}, "stopped");
  process.exit(0);
}

/** The data plane as processes of their own, told by the same arguments what to be. */
function workersOf(
  count: number,
  plane: DataPlaneOptions,
  args: readonly string[],
): NonNullable<SidecarOptions["dataPlane"]> {
  const { logger, runtime, trustDomain } = plane;
  return (metrics, askQuota, onChange) =>
    new WorkerGroup({
      count,
      trustDomain,
      reserve: () => reserveAddresses(plane),
      spawn: (_, onMessage) => spawnWorker(args, onMessage),
      supervise: (child) =>
        Supervisor.start({ ...child, note: (message) => logger.warn({}, message), random: runtime.random }),
      quota: new WorkerQuota(askQuota, runtime.monotonicMs),
      families: new LocalDataPlane(plane, metrics).families,
      onChange,
    });
}

function announce(sidecar: Sidecar, instance: string, logger: Logger): void {
  const text = ({ host, port }: Address): string => `${host}:${port}`;
  const { inboundAddress, outboundAddress, outboundTlsAddress, adminAddress } = sidecar;
  logger.info(
    {
      instance,
      inbound: text(inboundAddress),
      outbound: text(outboundAddress),
      admin: text(adminAddress),
      ...(outboundTlsAddress && { outboundTls: text(outboundTlsAddress) }),
    },
    "sidecar listening",
  );
}

/** The same after a restart, and another for every instance on one host: host name and port. */
function instanceName(port: number): string {
  const host = hostname()
    .replace(/[^A-Za-z0-9_-]/g, "-")
    .slice(0, 50);
  return port === 0 ? `${host}-${process.pid}` : `${host}-${port}`;
}
