/** A nats-server for one test: its own directory, its own port, gone afterwards. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectBus } from "../../src/nats/connection.ts";
import {
  type Credentials,
  mintOperatorUser,
  mintServiceUser,
  type OperatorUser,
  operatorJwt,
} from "../../src/nats/credentials.ts";
import { createDirectory, type Directory } from "../../src/nats/directory.ts";
import { type EmbeddedServer, startServer } from "../../src/nats/embedded-server.ts";
import type { UserKey } from "../../src/nats/keys.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { findServerBinary } from "../../src/nats/server-binary.ts";

export interface TestNats {
  readonly url: string;
  readonly directory: Directory;
  /** Credentials of services and operators, with any permissions the mesh has to give. */
  mintService(namespace: string, service: string): Promise<Credentials>;
  mintOperator(user: OperatorUser, key?: UserKey): Promise<Credentials>;
  /** A connection that `stop` closes. Errors that it reports collect in `errors`. */
  connect(credentials: Credentials): Promise<TestBus>;
  connectControl(): Promise<TestBus>;
  /** Ends the server as a crash would, and waits until it is dead. */
  kill9(): Promise<void>;
  /** Takes from the server, which must be dead, whatever it was told of the accounts while it ran. */
  forgetAccounts(): Promise<void>;
  /** Starts it again, on the same port and store. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface TestBus {
  readonly bus: NatsBus;
  readonly errors: Error[];
}

export async function startTestNats(): Promise<TestNats> {
  const path = await mkdtemp(join(tmpdir(), "heddle-nats-"));
  const directory = await createDirectory(path, { trustDomain: "mesh.local", operator: "ada" });
  const binary = await findServerBinary(process.env);
  const trust = await directory.trust();
  let server: EmbeddedServer = await startServer({ directory, binary });
  const { url } = server;
  const open: NatsBus[] = [];

  const connect = async (credentials: Credentials): Promise<TestBus> => {
    const errors: Error[] = [];
    const onError = (error: Error): void => void errors.push(error);
    const bus = await connectBus({ url, credentials, name: "test", onError });
    open.push(bus);
    return { bus, errors };
  };
  return {
    url,
    directory,
    mintService: (namespace, service) => mintServiceUser(trust, namespace, service),
    mintOperator: async (user, key) => {
      if (key === undefined) return mintOperatorUser(trust, user);
      return { name: user.name, ...key, jwt: await operatorJwt(trust, user, key.publicKey) };
    },
    connect,
    connectControl: async () => connect(await directory.controlCredentials()),
    kill9: async () => {
      process.kill(server.pid, "SIGKILL");
      await server.exited;
    },
    forgetAccounts: () => rm(join(directory.natsPath, "accounts"), { recursive: true, force: true }),
    restart: async () => {
      server = await startServer({ directory, binary });
    },
    stop: async () => {
      for (const bus of open) await bus.close();
      await server.stop();
      await rm(path, { recursive: true, force: true });
    },
  };
}
