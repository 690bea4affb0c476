/** `heddle sidecar`: the proxy beside one instance of a service. */

import { hostname } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { MESH_DEFAULTS } from "../events/state.ts";
import { connectBus, type ServerAddress } from "../nats/connection.ts";
import { type Credentials, issuerOf, mintServiceUser, readCredentials } from "../nats/credentials.ts";
import { LateBus } from "../nats/late-bus.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET } from "../nats/subjects.ts";
import { parseServiceRef, serviceRef } from "../policy/names.ts";
import { messageOf } from "../projections/backoff.ts";
import type { Address } from "../proxy/io/listener.ts";
import { LocalDataPlane } from "../proxy/sidecar/local-data-plane.ts";
import type { DataPlaneOptions, SidecarOptions } from "../proxy/sidecar/options.ts";
import { Sidecar } from "../proxy/sidecar/sidecar.ts";
import { reserveAddresses } from "../proxy/sidecar/workers/reserve.ts";
import { WorkerGroup } from "../proxy/sidecar/workers/worker-group.ts";
import { WorkerQuota } from "../proxy/sidecar/workers/worker-quota.ts";
import type { Logger } from "../telemetry/logger.ts";
import { advertisedHost } from "./address.ts";
import { directoryPath, requireDirectory } from "./context.ts";
import { EXIT_FAILED, Failure, UsageError } from "./failure.ts";
import { VERSION } from "./program.ts";
import { chosenServer, serverOfCredentials } from "./server-options.ts";
import {
  dataPlaneOptions,
  declareSidecarOptions,
  healthAddress,
  pageAddresses,
  parseHealthCheck,
  type SidecarArguments,
} from "./sidecar-options.ts";
import { Supervisor } from "./supervisor.ts";
import { spawnWorker } from "./worker-child.ts";

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

  const stop = Promise.withResolvers<void>();
  const connecting = new AbortController();
  const bus = new LateBus();
  const connected = connectBus({
    ...target.server,
    credentials: target.credentials,
    name: `heddle sidecar ${options.service} ${instance}`,
    onError: (error) => logger.warn({ err: error }, "NATS"),
    retryUntil: connecting.signal,
  }).then((connection) => bus.arrived(connection));
  // Refused credentials end the sidecar; a server that is merely away does not.
  connected.catch((error: unknown) => {
    if (!connecting.signal.aborted) stop.reject(new Failure(messageOf(error), { cause: error }));
  });

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
    stateDirectory: options.stateDir ?? join(target.stateRoot, `${service.namespace}.${service.name}.${instance}`),
    mesh: issuerOf(target.credentials),
    user: target.credentials.publicKey,
    bus,
    config: bus.reader(CONFIG_BUCKET),
    endpoints: bus.reader(ENDPOINT_BUCKET),
    onQuit: () => stop.resolve(),
  }).catch(async (error: unknown) => {
    connecting.abort();
    await Promise.allSettled([connected]);
    await bus.close();
    await accessLog?.close();
    throw new Failure(`the sidecar cannot start: ${messageOf(error)}`, { cause: error });
  });
  announce(sidecar, instance, logger);

  // The first signal drains, the second does not wait.
  let signals = 0;
  const onSignal = (): void => (++signals === 1 ? stop.resolve() : process.exit(EXIT_FAILED));
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  try {
    await stop.promise;
    await sidecar.drain();
  } finally {
    connecting.abort();
    await sidecar.stop();
    await accessLog?.close();
    await bus.close();
  }
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

interface ServiceRefParts {
  readonly namespace: string;
  readonly name: string;
}

interface ConnectionTarget {
  readonly server: ServerAddress;
  readonly credentials: Credentials;
  readonly trustDomain: string;
  /** Below it, each instance has its state directory. */
  readonly stateRoot: string;
}

/** Where NATS is and as whom to connect: given credentials, or ones made on the spot where the mesh's keys are at hand. */
async function connectionTarget(options: SidecarArguments, service: ServiceRefParts): Promise<ConnectionTarget> {
  const { creds, dir, trustDomain } = options;
  const path = directoryPath(dir);
  const stateRoot = join(path, "sidecars");
  const given = creds === undefined ? undefined : await readServiceCredentials(creds, service);
  // Credentials may tell where they are good. What is said by hand goes before that.
  const known = dir === undefined && given !== undefined ? serverOfCredentials(given) : undefined;
  const own = await chosenServer(options, known);
  if (given !== undefined && own !== undefined) {
    const domain = trustDomain ?? (known && given.mesh?.trustDomain) ?? MESH_DEFAULTS.trustDomain;
    return { server: own, credentials: given, trustDomain: domain, stateRoot };
  }
  const directory = await requireDirectory(dir);
  const { context } = directory;
  const server = await chosenServer(options, await directory.server());
  if (server === undefined) throw new Failure(`the mesh in ${path} has never run: start it with \`heddle up\``);
  const credentials = given ?? (await mintServiceUser(await directory.trust(), service.namespace, service.name));
  return { server, credentials, trustDomain: trustDomain ?? context.trustDomain, stateRoot };
}

/** Another service's credentials would connect, and then be refused everything that this one needs. */
async function readServiceCredentials(path: string, { namespace, name }: ServiceRefParts): Promise<Credentials> {
  const credentials = await readCredentials(path);
  const service = serviceRef(namespace, name);
  if (parseServiceRef(credentials.name) === undefined || credentials.name === service) return credentials;
  throw new UsageError(
    `--creds: ${path} is of ${credentials.name}, not of ${service}; make its own with \`heddle token create ${service}\``,
  );
}

/** The same after a restart, and another for every instance on one host: host name and port. */
function instanceName(port: number): string {
  const host = hostname()
    .replace(/[^A-Za-z0-9_-]/g, "-")
    .slice(0, 50);
  return port === 0 ? `${host}-${process.pid}` : `${host}-${port}`;
}
