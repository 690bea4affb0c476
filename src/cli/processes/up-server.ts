/** The NATS of `heddle up`: one of its own, where it was before, or somebody else's; the directory remembers which. */

import { resolve } from "node:path";
import { connectBus } from "../../nats/connection.ts";
import type { Directory } from "../../nats/directory.ts";
import { type EmbeddedServer, type ServerTlsFiles, startServer } from "../../nats/embedded-server.ts";
import { hasRoomToStart, isJetStreamOff, watchJetStream } from "../../nats/jetstream-watch.ts";
import { findServerBinary, type ServerBinary } from "../../nats/server-binary.ts";
import { UsageError } from "../failure.ts";
import { advertisedHost, isLoopback, portNumber } from "../input/address.ts";
import { givenCredentials } from "../mesh/given-credentials.ts";
import { readPem } from "../mesh/server-options.ts";
import { note } from "../output/output.ts";
import { isFree } from "./free-port.ts";
import { careForServerTls, ensureServerTls, SERVER_CA_PATH } from "./server-tls.ts";
import type { SupervisedChild } from "./supervisor.ts";

const LOOPBACK = "127.0.0.1";
/** Where people expect NATS. */
const NATS_PORT = 4222;
/** nats-server's own word for "any free port". */
const ANY_PORT = -1;
/** A host name or an address: no port, and nothing that a configuration or a URL would read as more. */
const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$/;

/** What the command line says of NATS. */
export interface UpServerOptions {
  readonly port?: string;
  readonly listen?: string;
  readonly advertise?: string;
  readonly natsUrl?: string;
  readonly creds?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/**
 * What starts the server, after the directory has been told of it; undefined where it is somebody else's, which has
 * then let our operator in. The options have been checked.
 */
export async function serverLauncher(
  directory: Directory,
  options: UpServerOptions,
): Promise<(() => Promise<SupervisedChild>) | undefined> {
  const { context } = directory;
  const own = options.port ?? options.listen ?? options.advertise;
  const externalUrl = options.natsUrl ?? (context.external === true && own === undefined ? context.url : undefined);
  if (externalUrl === undefined) return embeddedLauncher(directory, options);
  await useExternal(directory, externalUrl, options);
  return undefined;
}

/** Rejects with `UsageError` for options that make no sense, alone or together. */
export async function checkServerOptions(options: UpServerOptions): Promise<void> {
  const { natsUrl, port, listen, advertise, tlsCa, tlsCert, tlsKey } = options;
  if (natsUrl !== undefined && (port ?? listen ?? advertise) !== undefined) {
    throw new UsageError(
      "--nats-url is a server that runs already: --port, --listen and --advertise are for one of ours",
    );
  }
  for (const [name, host] of Object.entries({ listen, advertise })) {
    if (host !== undefined && !HOST.test(host))
      throw new UsageError(`--${name}: '${host}' is no host name and no address`);
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError("--tls-cert and --tls-key belong together: name both files");
  }
  chosenPort(port);
  await readPem(tlsCa, "--tls-ca", "CERTIFICATE");
  await readPem(tlsCert, "--tls-cert", "CERTIFICATE");
  await readPem(tlsKey, "--tls-key", "PRIVATE KEY");
}

/** Takes a server that runs already, if it lets our operator in, and remembers it. */
async function useExternal(directory: Directory, url: string, options: UpServerOptions): Promise<void> {
  const { tlsCa, tlsCert, tlsKey, creds } = options;
  const before = directory.context;
  const credentials = await directory.operatorCredentials();
  if (creds !== undefined) await givenCredentials(creds);
  const files = { ca: tlsCa, cert: tlsCert, key: tlsKey };
  const given = Object.entries(files).flatMap(([name, path]) => (path === undefined ? [] : [[name, resolve(path)]]));
  const same = before.external === true && before.url === url;
  const tls = given.length > 0 ? Object.fromEntries(given) : same ? before.tls : undefined;
  const controlCreds = creds === undefined ? before.controlCreds : resolve(creds);
  const { listen, serverCertificate, publicUrl } = before;
  await directory.remember({
    url,
    tls,
    controlCreds,
    external: true,
    listen: undefined,
    serverCertificate: undefined,
    publicUrl: undefined,
  });
  try {
    const server = (await directory.server()) ?? { url };
    await (await connectBus({ ...server, credentials, name: "heddle up", onError: () => {} })).close();
  } catch (error) {
    // The former address is kept: the new one may have been a slip.
    const { url: formerUrl, tls: formerTls, external } = before;
    const former = { url: formerUrl, tls: formerTls, external, listen, serverCertificate, publicUrl };
    await directory.remember({ ...former, controlCreds: before.controlCreds });
    throw error;
  }
}

/** Where a nats-server of ours is to be found, and by which certificate it is known. */
interface Place {
  readonly host: string;
  /** Where its neighbours on this machine connect. */
  readonly connectHost: string;
  /** Under which others find it. */
  readonly advertised: string;
  /** Others can reach it. */
  readonly isPublic: boolean;
  /** Somebody's own; undefined: one that we make, where one is needed. */
  readonly certificate: ServerTlsFiles | undefined;
  /** Of that certificate's authority; undefined: whom the system trusts. */
  readonly ca: string | undefined;
  /** At the first start; undefined: where it was before. */
  readonly port: number | undefined;
}

/** Starts nats-server where it was before, or where people expect it, or where there is room. */
async function embeddedLauncher(
  directory: Directory,
  options: UpServerOptions,
): Promise<() => Promise<SupervisedChild>> {
  const binary = await findServerBinary(process.env);
  if (directory.context.external === true) {
    await directory.remember({ url: undefined, external: undefined, tls: undefined, publicUrl: undefined });
  }
  const place = await placeOf(directory, options);
  let { port } = place;
  return async () => {
    const server = await startAt(place, port, directory, binary);
    // From now on the directory remembers it: whoever is connected looks for the server there.
    port = undefined;
    return watched(server, place, directory);
  };
}

async function placeOf(directory: Directory, options: UpServerOptions): Promise<Place> {
  const { url, listen, publicUrl, serverCertificate } = directory.context;
  const host = options.listen ?? listen ?? LOOPBACK;
  const advertised = options.advertise ?? (publicUrl && new URL(publicUrl).hostname) ?? advertisedHost(host);
  const certificate = ownCertificate(options) ?? serverCertificate;
  return {
    host,
    // Somebody's own certificate says one name, and no machine's addresses.
    connectHost: certificate !== undefined ? advertised : isWildcard(host) ? LOOPBACK : host,
    advertised,
    isPublic: !isLoopback(host),
    certificate,
    ca: certificate === undefined ? SERVER_CA_PATH : clientCa(options, directory),
    port:
      chosenPort(options.port) ?? (url === undefined && (await isFree(LOOPBACK, NATS_PORT)) ? NATS_PORT : undefined),
  };
}

/** Starts it once, and has the directory remember where it is. */
async function startAt(place: Place, port: number | undefined, directory: Directory, binary: ServerBinary) {
  const { host, connectHost, advertised, isPublic, certificate, ca } = place;
  const tls = await tlsFiles(directory, place);
  await directory.remember({
    listen: host === LOOPBACK ? undefined : host,
    serverCertificate: certificate,
    tls: tls === undefined ? undefined : ca === undefined ? {} : { ca },
  });
  const given = { ...(tls === undefined ? {} : { tls }), ...(port === undefined ? {} : { port }) };
  const server = await startServer({ directory, binary, host, connectHost, ...given });
  const others = new URL(server.url);
  const bracketed = advertised.includes(":") ? `[${advertised}]` : advertised;
  await directory.remember({ publicUrl: isPublic ? `${others.protocol}//${bracketed}:${others.port}` : undefined });
  return server;
}

/** As long as it runs, its certificate is renewed, and a JetStream that gave up on a full disk gets another chance. */
function watched(
  server: EmbeddedServer,
  { advertised, certificate, isPublic }: Place,
  directory: Directory,
): SupervisedChild {
  const endCare = certificate === undefined && isPublic ? careFor(directory, advertised, server.reload) : undefined;
  const endWatch = watchJetStream({
    isOff: () => isJetStreamOff(directory),
    hasRoom: () => hasRoomToStart(directory),
    off: (isFull) => note(`heddle: JetStream is off${isFull ? `: make room on the disk of ${directory.path}` : ""}`),
    restart: () => void server.stop(),
  });
  const exited = server.exited.then(({ code, signal }) => {
    endCare?.();
    endWatch();
    return signal === null ? `exit code ${code}` : `signal ${signal}`;
  });
  return { pid: server.pid, exited, stop: server.stop };
}

function careFor(directory: Directory, advertised: string, renewed: () => void): () => void {
  const failed = (message: string): void => note(`heddle: ${message}`);
  return careForServerTls({ directory, advertised: [advertised], renewed, failed });
}

/** Whatever others can reach is encrypted; on loopback only what somebody wants so. */
async function tlsFiles(
  directory: Directory,
  { certificate, isPublic, advertised }: Place,
): Promise<ServerTlsFiles | undefined> {
  if (certificate !== undefined) return certificate;
  return isPublic ? ensureServerTls(directory, [advertised]) : undefined;
}

function ownCertificate({ tlsCert, tlsKey }: UpServerOptions): ServerTlsFiles | undefined {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return { certFile: resolve(tlsCert), keyFile: resolve(tlsKey) };
}

/** Whom clients are to believe where the certificate is somebody's own; undefined: whom the system does. */
function clientCa({ tlsCa }: UpServerOptions, { context }: Directory): string | undefined {
  if (tlsCa !== undefined) return resolve(tlsCa);
  return context.tls?.ca === SERVER_CA_PATH ? undefined : context.tls?.ca;
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

function chosenPort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = portNumber(text);
  if (port === undefined)
    throw new UsageError(`--port: '${text}' is no port; write one from 0 (any free one) to 65535`);
  return port === 0 ? ANY_PORT : port;
}
