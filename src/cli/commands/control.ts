/** `heddle control`: one control replica, in the foreground. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { ulid } from "ulid";
import { FileCustody } from "../../ca/file-custody.ts";
import type { FirstOperator } from "../../control/bootstrap.ts";
import type { ListenAddress } from "../../control/monitoring.ts";
import { type ControlReplica, startControl } from "../../control/replica.ts";
import { openAccounts } from "../../nats/accounts.ts";
import { connectBus } from "../../nats/connection.ts";
import type { Credentials } from "../../nats/credentials.ts";
import { readTrust } from "../../nats/directory.ts";
import { isUserPublicKey } from "../../nats/keys.ts";
import type { NatsBus } from "../../nats/nats-bus.ts";
import type { ServerAddress } from "../../nats/server-address.ts";
import type { NatsTrust } from "../../nats/trust.ts";
import { parseDuration } from "../../policy/duration.ts";
import { INSTANCES_PER_SERVICE, INSTANCES_PER_SERVICE_MAX } from "../../projections/endpoints.ts";
import { type Logger, logLevelOf, openLogger } from "../../telemetry/logger.ts";
import { EXIT_FAILED, Failure, UsageError } from "../failure.ts";
import { parseAddress } from "../input/address.ts";
import { operatorNameProblem } from "../input/operator-name.ts";
import { caKeyFileOption, readSeal } from "../mesh/ca-secret.ts";
import { requireDirectory, requireWholeLedger } from "../mesh/context.ts";
import { givenCredentials } from "../mesh/given-credentials.ts";
import { chosenServer, type ServerOptions, serverOptions } from "../mesh/server-options.ts";
import { isFree } from "../processes/free-port.ts";
import { ready } from "../processes/readiness.ts";
import { stopRequested } from "../processes/stop-signals.ts";
import { VERSION } from "../program.ts";

const CERTIFICATE_TTL_MIN_MS = 60_000;
const CERTIFICATE_TTL_MAX_MS = 90 * 24 * 3_600_000;
const DEFAULT_LISTEN: ListenAddress = { hostname: "127.0.0.1", port: 15_014 };

interface Options extends ServerOptions {
  readonly caDir?: string;
  readonly caKeyFile?: string;
  readonly certificateTtl?: number;
  readonly instancesPerService?: number;
  readonly trustDomain?: string;
  readonly firstOperator?: string;
  readonly natsKeys?: string;
  readonly listen?: string;
}

/** What a replica needs to know of its mesh. */
interface Target {
  readonly server: ServerAddress;
  readonly credentials: Credentials;
  readonly caPath: string;
  readonly trustDomain: string;
  readonly operator: FirstOperator | undefined;
  /** Keys of the NATS accounts: undefined where others keep them. */
  readonly trust: NatsTrust | undefined;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await caKeyFileOption(serverOptions(command))
    .description("Run a control replica: decide commands, publish policy, sign certificates.")
    .option("--ca-dir <directory>", "keys of the certificate authority, instead of the directory's")
    .option("--trust-domain <domain>", "trust domain of the mesh, where there is no directory to tell it")
    .option("--first-operator <name=key>", "first admin (name and public nkey) of a ledger that is empty")
    .option("--nats-keys <file>", "keys of the NATS accounts, as in the directory's trust/: adds and revokes users")
    .addOption(
      new Option("--certificate-ttl <duration>", "life of certificates where no document says; below 1h for tests only")
        .env("HEDDLE_CERTIFICATE_TTL")
        .argParser(parseCertificateTtl),
    )
    .addOption(
      new Option(
        "--instances-per-service <count>",
        `how many of one service are kept; all replicas the same (default: ${INSTANCES_PER_SERVICE})`,
      )
        .env("HEDDLE_INSTANCES_PER_SERVICE")
        .argParser(parseInstances),
    )
    .option("--listen <address>", "/metrics and /healthz (default: 127.0.0.1:15014)")
    .addHelpText(
      "after",
      "\nWithout a directory:\n  heddle control --nats-url nats://nats:4222 --creds control.creds --ca-dir /etc/heddle/ca --trust-domain mesh.local",
    )
    .action((options: Options) => runControl(options))
    .parseAsync(args, { from: "user" });
}

async function runControl(options: Options): Promise<void> {
  const target = await controlTarget(options);
  const logger = await openLogger(logLevelOf(process.env.HEDDLE_LOG));
  const listen = await listenAddress(options.listen, logger);
  const stopping = stopOrOrphaned();
  const connectAs = (name: string): Promise<NatsBus> =>
    connectBus({
      ...target.server,
      credentials: target.credentials,
      name,
      onError: (error) => logger.warn({ err: error }, "NATS"),
      retryUntil: stopping,
    });
  const bus = await connectAs("heddle control");
  const heard = await connectAs("heddle control, workloads");
  const onError = (error: Error): void => logger.warn({ err: error }, "NATS accounts");
  const accounts = target.trust && openAccounts({ server: target.server, trust: target.trust, onError, now: Date.now });
  try {
    const replica = await startControl({
      bus,
      heard,
      ...(accounts === undefined ? {} : { accounts }),
      custody: new FileCustody(target.caPath, await readSeal(options.caKeyFile)),
      trustDomain: target.trustDomain,
      ...(target.operator === undefined ? {} : { operator: target.operator }),
      ...(options.certificateTtl === undefined ? {} : { leafTtlMs: options.certificateTtl }),
      ...(options.instancesPerService === undefined ? {} : { instancesPerService: options.instancesPerService }),
      listen,
      now: Date.now,
      random: Math.random,
      newId: ulid,
      version: VERSION,
      logger,
    });
    logger.info({ revision: replica.revision, url: replica.url }, "control replica ready");
    ready({ url: replica.url });
    await untilStopped(replica, stopping, logger);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`the control replica did not start: ${why}`, { cause: error });
  } finally {
    await accounts?.close();
    await Promise.all([heard.close(), bus.close()]);
    // The channel to whoever started us would keep a replica alive that did not start.
    if (process.connected) process.disconnect?.();
  }
  logger.info({}, "control replica stopped");
  process.exit(0);
}

async function untilStopped(replica: ControlReplica, stopping: AbortSignal, logger: Logger): Promise<void> {
  const stopped = Promise.withResolvers<void>();
  if (stopping.aborted) stopped.resolve();
  stopping.addEventListener("abort", () => stopped.resolve());
  try {
    await Promise.race([stopped.promise, replica.failed]);
  } catch (error) {
    // Half a history is no basis for any decision: whoever looks after this process must know at once.
    logger.error({ err: error }, "the control replica cannot go on");
    process.stderr.write(`heddle: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(EXIT_FAILED);
  }
  await replica.stop();
}

async function controlTarget(options: Options): Promise<Target> {
  const { dir, creds, caDir, natsKeys, trustDomain } = options;
  const named = parseFirstOperator(options.firstOperator);
  const own = await chosenServer(options, undefined);
  if (own !== undefined && creds !== undefined && caDir !== undefined && dir === undefined) {
    if (trustDomain === undefined) throw new UsageError("--trust-domain is needed where there is no --dir");
    const trust = natsKeys === undefined ? undefined : await readTrust(natsKeys);
    return {
      server: own,
      credentials: await givenCredentials(creds),
      caPath: caDir,
      trustDomain,
      operator: named,
      trust,
    };
  }
  const directory = await requireDirectory(dir);
  requireWholeLedger(directory);
  const server = await chosenServer(options, await directory.server());
  if (server === undefined) {
    throw new Failure(
      `NATS has never run in ${directory.path}: start it with \`heddle up\`, or name one with --nats-url`,
    );
  }
  const credentials = creds === undefined ? await directory.controlCredentials() : await givenCredentials(creds);
  const { name, publicKey } = await directory.operatorCredentials();
  return {
    server,
    credentials,
    caPath: caDir ?? directory.caPath,
    trustDomain: trustDomain ?? directory.context.trustDomain,
    operator: named ?? { name, publicKey },
    trust: natsKeys === undefined ? await directory.trustIfPresent() : await readTrust(natsKeys),
  };
}

function parseCertificateTtl(text: string): number {
  const ttlMs = parseDuration(text);
  if (ttlMs !== undefined && ttlMs >= CERTIFICATE_TTL_MIN_MS && ttlMs <= CERTIFICATE_TTL_MAX_MS) return ttlMs;
  throw new InvalidArgumentError("It must be a duration between 1m and 2160h.");
}

function parseInstances(text: string): number {
  const count = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= INSTANCES_PER_SERVICE_MAX) return count;
  throw new InvalidArgumentError(`It must be a number from 1 to ${INSTANCES_PER_SERVICE_MAX}.`);
}

function parseFirstOperator(text: string | undefined): FirstOperator | undefined {
  if (text === undefined) return undefined;
  const equals = text.lastIndexOf("=");
  const [name, publicKey] = [text.slice(0, Math.max(equals, 0)), text.slice(equals + 1)];
  if (operatorNameProblem(name) === undefined && isUserPublicKey(publicKey)) return { name, publicKey };
  throw new UsageError(
    `--first-operator: '${text}' is not NAME=KEY with an operator's name and a user's public nkey (U…)`,
  );
}

/** What was asked for; without that the usual port, or any other where a replica beside this one has it. */
async function listenAddress(text: string | undefined, logger: Logger): Promise<ListenAddress> {
  if (text !== undefined) {
    const { host, port } = parseAddress(text, "--listen", DEFAULT_LISTEN.hostname);
    return { hostname: host, port };
  }
  if (await isFree(DEFAULT_LISTEN.hostname, DEFAULT_LISTEN.port)) return DEFAULT_LISTEN;
  logger.warn({}, `port ${DEFAULT_LISTEN.port} is taken: metrics are on another one`);
  return { ...DEFAULT_LISTEN, port: 0 };
}

/** Aborts at the first signal to stop, and when the process that started this one is gone. */
function stopOrOrphaned(): AbortSignal {
  const controller = stopRequested();
  process.on("disconnect", () => controller.abort());
  return controller.signal;
}
