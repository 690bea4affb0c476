/** What `heddle sidecar` can be told on its command line, for itself and for its workers, which are told the same. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../../policy/duration.ts";
import { parseServiceRef } from "../../policy/names.ts";
import { messageOf } from "../../projections/backoff.ts";
import { openOriginalDestination } from "../../proxy/intercept/original-destination.ts";
import type { Address } from "../../proxy/io/address.ts";
import { systemRuntime } from "../../proxy/runtime.ts";
import type { HealthCheck } from "../../proxy/sidecar/app-health.ts";
import type { ApplicationAddresses } from "../../proxy/sidecar/applications.ts";
import type {
  DataPlaneOptions,
  Interception,
  OutboundTrafficPolicy,
  SidecarOptions,
} from "../../proxy/sidecar/options.ts";
import { REGION_LABEL, WEIGHT_LABEL, ZONE_LABEL } from "../../proxy/upstream/labels.ts";
import { openAccessLog } from "../../telemetry/access-log.ts";
import { leanLogger, logLevelOf } from "../../telemetry/logger.ts";
import { Failure, UsageError } from "../failure.ts";
import { isLoopback, parseAddress, parseOptionalAddress } from "../input/address.ts";
import { describeLimits, parseLimits } from "../input/limit-option.ts";
import { type ServerOptions, serverOptions } from "../mesh/server-options.ts";
import { addressFamilies } from "./iptables.ts";

export interface SidecarArguments extends ServerOptions {
  readonly service: string;
  readonly app: readonly string[];
  readonly appHealth: string;
  readonly waitApp: boolean;
  readonly inbound: string;
  readonly outbound: string;
  readonly outboundTls: string;
  readonly intercept: boolean;
  readonly outboundTrafficPolicy?: OutboundTrafficPolicy;
  readonly upstream: readonly string[];
  readonly admin: string;
  readonly health: string;
  readonly metrics: string;
  readonly advertise?: string;
  readonly instance?: string;
  readonly label: readonly string[];
  readonly locality?: string;
  readonly weight?: number;
  readonly accessLog: string;
  readonly workers: number;
  /** Milliseconds; 0: none. */
  readonly trafficInterval: number;
  readonly limit: readonly string[];
  readonly stateDir?: string;
  readonly trustDomain?: string;
}

/** Declares the options; what they say is a `SidecarArguments`. */
export function declareSidecarOptions(command: Command): Command {
  return serverOptions(command)
    .description("Run the proxy beside one instance of a service.")
    .requiredOption("--service <namespace/name>", "the service that the application is an instance of")
    .requiredOption(
      "--app <[port=]address>",
      "where the application listens, for one port of its Service or all others",
      collect,
    )
    .option("--inbound <address>", "where peers come in, over mutual TLS", "0.0.0.0:15006")
    .option("--outbound <address>", "where the application's own calls come in", "127.0.0.1:15001")
    .option(
      "--outbound-tls <address>",
      "where its own TLS comes in, for whom its server name (SNI) says, or off",
      "off",
    )
    .option("--intercept", "take in the connections that `heddle intercept` redirects", false)
    .addOption(
      new Option(
        "--outbound-traffic-policy <policy>",
        "with --intercept: calls to nobody of the mesh (default: registry-only)",
      ).choices(["registry-only", "allow-any"]),
    )
    .option(
      "--upstream <service=address>",
      "a local port for one service, such as shop/db=127.0.0.1:5432; shop/db:5433=… for another port of it",
      collect,
      [],
    )
    .option("--app-health <check>", "how the application is asked: tcp, http:/PATH, grpc or none", "tcp")
    .option("--wait-app", "listen only when the application has been healthy once", false)
    .option("--admin <address>", "admin endpoints, on loopback only", "127.0.0.1:15000")
    .option("--health <address>", "/healthz/ready and /healthz/live, or off", "0.0.0.0:15021")
    .option("--metrics <address>", "/metrics for Prometheus, or off", "0.0.0.0:15090")
    .option("--advertise <host>", "host under which peers find the inbound listener (default: found out)")
    .option("--instance <name>", "name of this instance (default: from host name and inbound port)", parseInstance)
    .option("--label <name=value>", "label of this instance, such as version=v2; repeatable", collect, [])
    .option("--locality <region/zone>", "where this instance is: near ones are called first, such as eu-west/a")
    .option("--weight <n>", "this instance's share of calls, compared with the others' (default: 1)", parseWeight)
    .option("--access-log <target>", "off, stdout or a file", "off")
    .option("--workers <n>", "processes that carry traffic, one for each core", parseCount, 1)
    .option("--limit <name=value>", "overrides a bound, such as head-timeout=10s; repeatable", collect, [])
    .option("--limits", "list every bound with its default, and end")
    .on("option:limits", () => {
      process.stdout.write(describeLimits());
      process.exit(0);
    })
    .addOption(
      new Option("--traffic-interval <duration>", "between two reports to the traffic ledger, or off")
        .argParser(parseInterval)
        .default(TRAFFIC_INTERVAL_MS, "1m"),
    )
    .option("--state-dir <directory>", "what to keep between runs (default: below the mesh's directory)")
    .option("--trust-domain <domain>", "trust domain of the mesh, where there is no directory to tell it")
    .addHelpText(
      "after",
      "\nExample:\n  heddle sidecar --service shop/catalog --app 127.0.0.1:8080 --label version=v2\n" +
        "\nThe application calls others through --outbound: by the Host header, or with http_proxy set to it.",
    );
}

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

const TRAFFIC_INTERVAL_MS = 60_000;
const TRAFFIC_INTERVAL_MIN_MS = 1_000;

/** Milliseconds; 0 for `off`. */
function parseInterval(text: string): number {
  const intervalMs = text === "off" ? 0 : parseDuration(text);
  if (intervalMs === 0 || (intervalMs !== undefined && intervalMs >= TRAFFIC_INTERVAL_MIN_MS)) return intervalMs;
  throw new InvalidArgumentError("It must be a duration such as 1m, at least 1s, or off.");
}

/** More processes than that are no use on any machine, and each costs memory. */
const WORKERS_MAX = 256;

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > WORKERS_MAX) {
    throw new InvalidArgumentError(`write a number from 1 to ${WORKERS_MAX}`);
  }
  return count;
}

const WEIGHT_MAX = 1_000;

function parseWeight(text: string): number {
  const weight = Number(text);
  if (!/^\d+(?:\.\d+)?$/.test(text) || weight <= 0 || weight > WEIGHT_MAX) {
    throw new InvalidArgumentError(`write a number above 0, at most ${WEIGHT_MAX}`);
  }
  return weight;
}

/** Names of instances are tokens of subjects, and of paths: what has a dot or a space in it would never be heard of. */
function parseInstance(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError("An instance's name is up to 64 letters, digits, - and _.");
}

/** Where the instance is and how much it takes are labels as well: callers learn of them as of the others. */
function placeLabels({ locality, weight }: SidecarArguments): Record<string, string> {
  const labels: Record<string, string> = weight === undefined ? {} : { [WEIGHT_LABEL]: String(weight) };
  if (locality === undefined) return labels;
  const [, region, zone] =
    /^([A-Za-z0-9][A-Za-z0-9_.-]{0,62})(?:\/([A-Za-z0-9][A-Za-z0-9_.-]{0,62}))?$/.exec(locality) ?? [];
  if (region === undefined) throw new UsageError(`--locality: '${locality}' is no place; write REGION/ZONE or REGION`);
  return { ...labels, [REGION_LABEL]: region, ...(zone === undefined ? {} : { [ZONE_LABEL]: zone }) };
}

/** All that the traffic needs to know, whichever process carries it. */
export async function dataPlaneOptions(options: SidecarArguments): Promise<Omit<DataPlaneOptions, "trustDomain">> {
  const limits = parseLimits(options.limit, process.env.HEDDLE_LIMITS);
  const logger = leanLogger(logLevelOf(process.env.HEDDLE_LOG));
  return {
    labels: { ...parseLabels(options.label), ...placeLabels(options) },
    ...parseApplications(options.app),
    inbound: parseAddress(options.inbound, "--inbound", "0.0.0.0"),
    outbound: parseAddress(options.outbound, "--outbound", "127.0.0.1"),
    outboundTls: parseOptionalAddress(options.outboundTls, "--outbound-tls", "127.0.0.1"),
    upstreams: options.upstream.map(parseUpstream),
    interception: await openInterception(options),
    accessLog: await openAccessLog(options.accessLog, { shared: options.workers > 1 }),
    logger,
    runtime: systemRuntime(limits, (error) => logger.error({ err: error }, "a bug of Heddle ended a connection")),
  };
}

/** What `--intercept` needs; undefined without it. */
async function openInterception({
  intercept,
  outboundTrafficPolicy,
}: SidecarArguments): Promise<Interception | undefined> {
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

/** Where the sidecar's own pages are. */
export function pageAddresses(options: SidecarArguments): Pick<SidecarOptions, "admin" | "health" | "metrics"> {
  const admin = parseAddress(options.admin, "--admin", "127.0.0.1");
  if (!isLoopback(admin.host)) throw new UsageError("--admin: must be on loopback: it can stop the sidecar");
  return {
    admin,
    health: parseOptionalAddress(options.health, "--health", "0.0.0.0"),
    metrics: parseOptionalAddress(options.metrics, "--metrics", "0.0.0.0"),
  };
}

/** Reads `tcp`, `http:/PATH`, `grpc` or `none`. Throws `UsageError`. */
export function parseHealthCheck(text: string): HealthCheck {
  if (text === "tcp" || text === "grpc" || text === "none") return { kind: text };
  if (text.startsWith("http:/")) return { kind: "http", path: text.slice("http:".length) };
  throw new UsageError(`--app-health: '${text}' is no check; write tcp, http:/PATH, grpc or none`);
}

/** `PORT=HOST:PORT` for one port of the Service, `HOST:PORT` for those that have none of their own. */
function parseApplications(texts: readonly string[]): Required<ApplicationAddresses> {
  const applicationPorts = new Map<number, Address>();
  let application: Address | undefined;
  for (const text of texts) {
    const [, port, address = text] = /^(\d{1,5})=(.*)$/.exec(text) ?? [];
    const parsed = parseAddress(address, "--app", "127.0.0.1");
    const taken = port === undefined ? application !== undefined : applicationPorts.has(Number(port));
    if (taken) throw new UsageError(`--app: two addresses for ${port === undefined ? "all ports" : `port ${port}`}`);
    if (port === undefined) application = parsed;
    else applicationPorts.set(Number(port), parsed);
  }
  return { application, applicationPorts };
}

/** Where the application is asked whether it is well: the first address that is named. */
export function healthAddress({ app: [first = ""] }: SidecarArguments): Address {
  return parseAddress(first.replace(/^\d+=/, ""), "--app", "127.0.0.1");
}

function parseUpstream(text: string) {
  const parts = /^([^=:]*)(?::(\d{1,5}))?=(.*)$/.exec(text);
  const service = parseServiceRef(parts?.[1] ?? "");
  if (service === undefined) throw new UsageError(`--upstream: '${text}' is no NAMESPACE/NAME[:PORT]=HOST:PORT`);
  const port = parts?.[2] === undefined ? {} : { port: Number(parts[2]) };
  return { ...service, ...port, address: parseAddress(parts?.[3] ?? "", "--upstream", "127.0.0.1") };
}

function parseLabels(texts: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const text of texts) {
    const parts = /^([A-Za-z0-9](?:[A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?)=([^=\p{Cc}\p{Cf}]{0,253})$/u.exec(text);
    if (parts?.[1] === undefined) throw new UsageError(`--label: '${text}' is no label; write NAME=VALUE`);
    if (Object.hasOwn(labels, parts[1])) throw new UsageError(`--label: ${parts[1]} is given twice`);
    labels[parts[1]] = parts[2] ?? "";
  }
  return labels;
}
