/** A mesh for one test: a nats-server of its own, any number of control replicas, and operators who command it. */

import { expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ulid } from "ulid";
import { FileCustody } from "../../src/ca/file-custody.ts";
import { type CommandInput, type CommandSender, sendCommand } from "../../src/cli/mesh/command-client.ts";
import type { CommandReply } from "../../src/control/protocol.ts";
import type { ControlOptions, ControlReplica } from "../../src/control/replica.ts";
import { startControl } from "../../src/control/replica.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { openEventLog } from "../../src/events/jetstream-log.ts";
import { type Accounts, openAccounts } from "../../src/nats/accounts.ts";
import type { OperatorUser } from "../../src/nats/credentials.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { MESH_NAMESPACE } from "../../src/policy/names.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import type { Logger } from "../../src/telemetry/logger.ts";
import { changeOf } from "../support/ledger.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface TestReplica extends ControlReplica {
  readonly bus: NatsBus;
  readonly lines: readonly LogLine[];
}

export interface ControlMesh {
  readonly nats: TestNats;
  /** The first operator, an admin called ada. */
  readonly ada: CommandSender;
  /** `anonymous`: started without naming a first operator; `keyless`: without the keys of the NATS accounts. */
  startReplica(options?: Partial<ControlOptions> & { anonymous?: true; keyless?: true }): Promise<TestReplica>;
  /** Writes into the ledger what no command can: that there is such an operator. */
  admit(replica: TestReplica, user: OperatorUser, publicKey: string): Promise<void>;
  /** Credentials that the server accepts, which say nothing about whether the ledger knows their owner. */
  connectOperator(user: OperatorUser): Promise<CommandSender>;
  stop(): Promise<void>;
}

export async function startMesh(): Promise<ControlMesh> {
  const nats = await startTestNats();
  const authorityPath = await mkdtemp(join(tmpdir(), "heddle-authority-"));
  const operator = await nats.directory.operatorCredentials();
  const replicas: ControlReplica[] = [];
  const opened: Accounts[] = [];
  const connect = async (credentials: typeof operator): Promise<CommandSender> => {
    const { bus } = await nats.connect(credentials);
    return { bus, credentials };
  };
  return {
    nats,
    ada: await connect(operator),
    startReplica: async ({ anonymous, keyless, ...options } = {}) => {
      const { bus } = await nats.connectControl();
      const trust = await nats.directory.trust();
      const accounts = openAccounts({ server: { url: nats.url }, trust, onError: () => {}, now: Date.now });
      opened.push(accounts);
      const { logger, lines } = memoryLogger();
      const replica = await startControl({
        bus,
        custody: new FileCustody(join(authorityPath, "ca")),
        trustDomain: "mesh.local",
        ...(keyless ? {} : { accounts }),
        ...(anonymous ? {} : { operator: { name: operator.name, publicKey: operator.publicKey } }),
        listen: { hostname: "127.0.0.1", port: 0 },
        now: Date.now,
        random: Math.random,
        newId: ulid,
        logger,
        ...options,
      });
      replicas.push(replica);
      return Object.assign(Object.create(replica), { bus, lines });
    },
    admit: async ({ bus }, { name, role, namespaces }, publicKey) => {
      const log = await openEventLog(bus);
      const past = await Array.fromAsync(log.read({ namespace: MESH_NAMESPACE }));
      const last = past.at(-1);
      if (last === undefined) throw new Error("the ledger has no beginning");
      const events: DomainEvent[] = [{ type: "OperatorAdded", name, publicKey, role, namespaces: [...namespaces] }];
      const place = { actor: "heddle", revision: last.revision + 1, previous: last.hash };
      const change = { ...changeOf(MESH_NAMESPACE, events, place), id: ulid() };
      expect((await log.append(change, last.revision)).ok).toBe(true);
    },
    connectOperator: async (user) => connect(await nats.mintOperator(user)),
    stop: async () => {
      for (const replica of replicas) await replica.stop();
      for (const accounts of opened) await accounts.close();
      await nats.stop();
      await rm(authorityPath, { recursive: true, force: true });
    },
  };
}

function memoryLogger(): { logger: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const writer =
    (level: string): Logger["info"] =>
    (fields, message) =>
      void lines.push({ level, message, fields });
  return {
    lines,
    logger: { debug: writer("debug"), info: writer("info"), warn: writer("warn"), error: writer("error") },
  };
}

/** Sends a command with nothing unusual about it. */
export function send(
  sender: CommandSender,
  body: CommandBody,
  options: Partial<CommandInput> = {},
): Promise<CommandReply> {
  return sendCommand(sender, { namespace: "shop", body, reason: "a test", dryRun: false, ...options });
}

/** The command that applies a policy text of one namespace. */
export function applying(text: string): CommandBody {
  const parsed = parsePolicy([{ file: "policy.yaml", text }]);
  if (!parsed.ok) throw new Error(parsed.error.map(({ message }) => message).join("; "));
  return { kind: "apply", documents: parsed.value.map(({ document }) => document) };
}

/** A Service document. */
export function service(name: string, namespace = "shop"): string {
  return `apiVersion: heddle/v1
kind: Service
metadata: { namespace: ${namespace}, name: ${name} }
spec:
  ports: [{ port: 8080, protocol: http }]
  subsets: { v1: { version: v1 }, v2: { version: v2 } }
`;
}

/** A Route document that splits a service's traffic between v1 and v2. */
export function split(name: string, v1: number, v2: number): string {
  return `apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: ${name} }
spec:
  service: ${name}
  rules: [{ backends: [{ subset: v1, weight: ${v1} }, { subset: v2, weight: ${v2} }] }]
`;
}
