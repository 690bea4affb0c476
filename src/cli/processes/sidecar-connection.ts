/** How a sidecar reaches its mesh: where NATS is, as whom, and a connection that may come about later. */

import { join } from "node:path";
import { MESH_DEFAULTS } from "../../events/state.ts";
import { connectBus } from "../../nats/connection.ts";
import { type Credentials, mintServiceUser } from "../../nats/credentials.ts";
import { LateBus } from "../../nats/late-bus.ts";
import type { ServerAddress } from "../../nats/server-address.ts";
import { parseServiceRef, serviceRef } from "../../policy/names.ts";
import { messageOf } from "../../projections/backoff.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Failure, UsageError } from "../failure.ts";
import { directoryPath, requireDirectory } from "../mesh/context.ts";
import { givenCredentials } from "../mesh/given-credentials.ts";
import { chosenServer, serverOfCredentials } from "../mesh/server-options.ts";
import type { SidecarArguments } from "./sidecar-options.ts";

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
export async function connectionTarget(options: SidecarArguments, service: ServiceRefParts): Promise<ConnectionTarget> {
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
  const credentials = await givenCredentials(path);
  const service = serviceRef(namespace, name);
  if (parseServiceRef(credentials.name) === undefined || credentials.name === service) return credentials;
  throw new UsageError(
    `--creds: ${path} is of ${credentials.name}, not of ${service}; make its own with \`heddle token create ${service}\``,
  );
}

interface SidecarConnection {
  readonly bus: LateBus;
  /** Rejects where the credentials are refused, which ends the sidecar; a server that is merely away does not. */
  readonly refused: Promise<never>;
  /** Gives up connecting, or ends the connection that there is. */
  close(): Promise<void>;
}

/** Begins to connect, and goes on until it has come about or is closed; `name` is for the server's list of connections. */
export function connect({ server, credentials }: ConnectionTarget, name: string, logger: Logger): SidecarConnection {
  const giveUp = new AbortController();
  const bus = new LateBus();
  const { promise: refused, reject: refuse } = Promise.withResolvers<never>();
  const connecting = connectBus({
    ...server,
    credentials,
    name,
    onError: (error) => logger.warn({ err: error }, "NATS"),
    retryUntil: giveUp.signal,
  }).then(
    (connection) => bus.arrived(connection),
    (error: unknown) => {
      if (!giveUp.signal.aborted) refuse(new Failure(messageOf(error), { cause: error }));
    },
  );
  return {
    bus,
    refused,
    async close() {
      giveUp.abort();
      await connecting;
      await bus.close();
    },
  };
}
