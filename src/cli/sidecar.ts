/** `heddle sidecar`: the proxy beside one instance of a service. */

import { hostname } from "node:os";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { MESH_DEFAULTS } from "../events/state.ts";
import { connectBus } from "../nats/connection.ts";
import { type Credentials, issuerOf, mintServiceUser, readCredentials } from "../nats/credentials.ts";
import { LateBus } from "../nats/late-bus.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET } from "../nats/subjects.ts";
import { parseServiceRef, serviceRef } from "../policy/names.ts";
import { openOriginalDestination } from "../proxy/intercept/original-destination.ts";
import type { Address } from "../proxy/io/listener.ts";
import { systemRuntime } from "../proxy/runtime.ts";
import type { HealthCheck } from "../proxy/sidecar/app-health.ts";
import type { Interception, OutboundTrafficPolicy } from "../proxy/sidecar/options.ts";
import { Sidecar } from "../proxy/sidecar/sidecar.ts";
import { openAccessLog } from "../telemetry/access-log.ts";
import { type Logger, leanLogger, logLevelOf } from "../telemetry/logger.ts";
import { advertisedHost, isLoopback, parseAddress, parseOptionalAddress } from "./address.ts";
import { connectionOptions, directoryPath, requireDirectory } from "./context.ts";
import { EXIT_FAILED, Failure, UsageError } from "./failure.ts";
import { addressFamilies } from "./iptables.ts";
import { VERSION } from "./program.ts";

interface Options {
  readonly service: string;
  readonly app: string;
  readonly appHealth: string;
  readonly waitApp: boolean;
  readonly inbound: string;
  readonly outbound: string;
  readonly intercept: boolean;
  readonly outboundTrafficPolicy?: OutboundTrafficPolicy;
  readonly upstream: readonly string[];
  readonly admin: string;
  readonly health: string;
  readonly metrics: string;
  readonly advertise?: string;
  readonly instance?: string;
  readonly label: readonly string[];
  readonly accessLog: string;
  readonly stateDir?: string;
  readonly trustDomain?: string;
  readonly dir?: string;
  readonly natsUrl?: string;
  readonly creds?: string;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(command)
    .description("Run the proxy beside one instance of a service.")
    .requiredOption("--service <namespace/name>", "the service that the application is an instance of")
    .requiredOption("--app <address>", "where the application listens, such as 127.0.0.1:8080")
    .option("--inbound <address>", "where peers come in, over mutual TLS", "0.0.0.0:15006")
    .option("--outbound <address>", "where the application's own calls come in", "127.0.0.1:15001")
    .option("--intercept", "take in the connections that `heddle intercept` redirects", false)
    .addOption(
      new Option(
        "--outbound-traffic-policy <policy>",
        "with --intercept: calls to nobody of the mesh (default: registry-only)",
      ).choices(["registry-only", "allow-any"]),
    )
    .option("--upstream <service=address>", "a local port for one service, such as shop/db=127.0.0.1:5432", collect, [])
    .option("--app-health <check>", "how the application is asked: tcp, http:/PATH, grpc or none", "tcp")
    .option("--wait-app", "listen only when the application has been healthy once", false)
    .option("--admin <address>", "admin endpoints, on loopback only", "127.0.0.1:15000")
    .option("--health <address>", "/healthz/ready and /healthz/live, or off", "0.0.0.0:15021")
    .option("--metrics <address>", "/metrics for Prometheus, or off", "0.0.0.0:15090")
    .option("--advertise <host>", "host under which peers find the inbound listener (default: found out)")
    .option("--instance <name>", "name of this instance (default: from host name and inbound port)")
    .option("--label <name=value>", "label of this instance, such as version=v2; repeatable", collect, [])
    .option("--access-log <target>", "off, stdout or a file", "off")
    .option("--state-dir <directory>", "what to keep between runs (default: below the mesh's directory)")
    .option("--trust-domain <domain>", "trust domain of the mesh, where there is no directory to tell it")
    .addHelpText(
      "after",
      "\nExample:\n  heddle sidecar --service shop/catalog --app 127.0.0.1:8080 --label version=v2\n" +
        "\nThe application calls others through --outbound: by the Host header, or with HTTP_PROXY set to it.",
    )
    .action((options: Options) => runSidecar(options))
    .parseAsync(args, { from: "user" });
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}

async function runSidecar(options: Options): Promise<void> {
  const service = parseServiceRef(options.service);
  if (service === undefined) {
    throw new UsageError(`--service: '${options.service}' is no service; write NAMESPACE/NAME, such as shop/catalog`);
  }
  const addresses = parseAddresses(options);
  const labels = parseLabels(options.label);
  const logger = leanLogger(logLevelOf(process.env.HEDDLE_LOG));
  const target = await connectionTarget(options, service);
  const instance = options.instance ?? instanceName(addresses.inbound.port);
  const accessLog = await openAccessLog(options.accessLog);

  const stop = Promise.withResolvers<void>();
  const connecting = new AbortController();
  const bus = new LateBus();
  const connected = connectBus({
    url: target.url,
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
    trustDomain: target.trustDomain,
    instance,
    labels,
    version: VERSION,
    ...addresses,
    interception: await openInterception(options),
    appHealth: parseHealthCheck(options.appHealth),
    waitForApplication: options.waitApp,
    advertisedHost: options.advertise ?? advertisedHost(addresses.inbound.host),
    stateDirectory: options.stateDir ?? join(target.stateRoot, `${service.namespace}.${service.name}.${instance}`),
    mesh: issuerOf(target.credentials),
    bus,
    config: bus.reader(CONFIG_BUCKET),
    endpoints: bus.reader(ENDPOINT_BUCKET),
    accessLog,
    logger,
    runtime: systemRuntime({}, (error) => logger.error({ err: error }, "a bug of Heddle ended a connection")),
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

/** What `--intercept` needs; undefined without it. */
async function openInterception({ intercept, outboundTrafficPolicy }: Options): Promise<Interception | undefined> {
  if (!intercept) {
    if (outboundTrafficPolicy === undefined) return undefined;
    throw new UsageError("--outbound-traffic-policy: only with --intercept do calls to others come to the sidecar");
  }
  // Rules never leave root alone, so each of our own connections would come back to us.
  if (process.getuid?.() === 0) {
    throw new UsageError("--intercept: run the sidecar as the user that `heddle intercept --user` names, not as root");
  }
  const originalDestination = await openOriginalDestination().catch((error: unknown) => {
    throw new Failure(`--intercept: ${messageOf(error)}`, { cause: error });
  });
  const ipv6 = addressFamilies().includes("ipv6");
  return { originalDestination, ipv6, outboundTrafficPolicy: outboundTrafficPolicy ?? "registry-only" };
}

function announce(sidecar: Sidecar, instance: string, logger: Logger): void {
  const text = ({ host, port }: Address): string => `${host}:${port}`;
  const { inboundAddress, outboundAddress, adminAddress } = sidecar;
  logger.info(
    { instance, inbound: text(inboundAddress), outbound: text(outboundAddress), admin: text(adminAddress) },
    "sidecar listening",
  );
}

function parseAddresses(options: Options) {
  const admin = parseAddress(options.admin, "--admin", "127.0.0.1");
  if (!isLoopback(admin.host)) throw new UsageError("--admin: must be on loopback: it can stop the sidecar");
  return {
    application: parseAddress(options.app, "--app", "127.0.0.1"),
    inbound: parseAddress(options.inbound, "--inbound", "0.0.0.0"),
    outbound: parseAddress(options.outbound, "--outbound", "127.0.0.1"),
    upstreams: options.upstream.map(parseUpstream),
    admin,
    health: parseOptionalAddress(options.health, "--health", "0.0.0.0"),
    metrics: parseOptionalAddress(options.metrics, "--metrics", "0.0.0.0"),
  };
}

function parseHealthCheck(text: string): HealthCheck {
  if (text === "tcp" || text === "grpc" || text === "none") return { kind: text };
  if (text.startsWith("http:/")) return { kind: "http", path: text.slice("http:".length) };
  throw new UsageError(`--app-health: '${text}' is no check; write tcp, http:/PATH, grpc or none`);
}

function parseUpstream(text: string) {
  const [ref = "", address = ""] = text.split("=", 2);
  const service = parseServiceRef(ref);
  if (service === undefined) throw new UsageError(`--upstream: '${text}' is no NAMESPACE/NAME=HOST:PORT`);
  return { ...service, address: parseAddress(address, "--upstream", "127.0.0.1") };
}

function parseLabels(texts: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const text of texts) {
    const parts = /^([A-Za-z0-9](?:[A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?)=([^=]{0,253})$/.exec(text);
    if (parts?.[1] === undefined) throw new UsageError(`--label: '${text}' is no label; write NAME=VALUE`);
    if (Object.hasOwn(labels, parts[1])) throw new UsageError(`--label: ${parts[1]} is given twice`);
    labels[parts[1]] = parts[2] ?? "";
  }
  return labels;
}

interface ServiceRefParts {
  readonly namespace: string;
  readonly name: string;
}

interface ConnectionTarget {
  readonly url: string;
  readonly credentials: Credentials;
  readonly trustDomain: string;
  /** Below it, each instance has its state directory. */
  readonly stateRoot: string;
}

/** Where NATS is and as whom to connect: given credentials, or ones made on the spot where the mesh's keys are at hand. */
async function connectionTarget(options: Options, service: ServiceRefParts): Promise<ConnectionTarget> {
  const { creds, natsUrl, dir, trustDomain } = options;
  const path = directoryPath(dir);
  const stateRoot = join(path, "sidecars");
  if (creds !== undefined && natsUrl !== undefined) {
    const credentials = await readServiceCredentials(creds, service);
    return { url: natsUrl, credentials, trustDomain: trustDomain ?? MESH_DEFAULTS.trustDomain, stateRoot };
  }
  const directory = await requireDirectory(dir);
  const { context } = directory;
  const url = natsUrl ?? context.url;
  if (url === undefined) throw new Failure(`the mesh in ${path} has never run: start it with \`heddle up\``);
  const credentials =
    creds === undefined
      ? await mintServiceUser(await directory.trust(), service.namespace, service.name)
      : await readServiceCredentials(creds, service);
  return { url, credentials, trustDomain: trustDomain ?? context.trustDomain, stateRoot };
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
