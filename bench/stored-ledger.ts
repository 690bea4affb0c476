/**
 * The ledger as it is stored: what it takes to know the mesh as of any revision, and to see the last changes, of a ledger
 * of 100,000 changes and of one of a million, on a real nats-server. The figures to hold: 100 ms for a state, growing by
 * less than a third from the one to the other, and 300 ms for the first screen of `heddle log`, process and all. Takes
 * some minutes and 1 GB of disk; the lengths may be given as arguments.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeChange, sha256Hex } from "../src/events/chain.ts";
import { CHANGE_TYPE, type Change, FIRST_PREVIOUS } from "../src/events/change.ts";
import type { DomainEvent } from "../src/events/domain-events.ts";
import { openEventLog } from "../src/events/jetstream-log.ts";
import { openBucket } from "../src/nats/buckets.ts";
import { connectBus, type NatsBus } from "../src/nats/connection.ts";
import { createDirectory } from "../src/nats/directory.ts";
import { startServer } from "../src/nats/embedded-server.ts";
import { findServerBinary } from "../src/nats/server-binary.ts";
import { lastSequence } from "../src/nats/stream-client.ts";
import { CHECKPOINT_BUCKET, EVENT_STREAM, subjects } from "../src/nats/subjects.ts";
import { HistoryKeeper, nearestCheckpoint } from "../src/projections/history-checkpoints.ts";
import { meshProjection } from "../src/projections/projection.ts";
import { meshStateCodec } from "../src/projections/state-codec.ts";
import { stateAt } from "../src/replay/state-at.ts";

const NAMESPACE = "shop";
const SERVICES = 100;
const ROUNDS = 40;
/** Changes sent before the stream is asked whether it has them. */
const BATCH = 10_000;
const HEDDLE = new URL("../bin/heddle", import.meta.url).pathname;

/** Services with a policy each, and then grants and revocations among them, one event a change. */
function eventOf(revision: number): DomainEvent[] {
  const at = revision % SERVICES;
  const name = `s${at}`;
  const about = { namespace: NAMESPACE, name };
  const round = Math.floor((revision - 1) / SERVICES);
  if (round === 0) return [{ type: "ServiceDeclared", ...about, spec: { ports: [{ port: 8080, protocol: "http" }] } }];
  if (round === 1) return [{ type: "AccessPolicyDeclared", ...about, service: name }];
  const rule = { allow: { from: [`${NAMESPACE}/s${(at + 1) % SERVICES}` as const] } };
  const type = round % 2 === 0 ? "AccessGranted" : "AccessRevoked";
  return [{ type, ...about, service: name, index: 0, rule }];
}

function changeOf(revision: number, previous: string): Change {
  const id = `change-${revision}`;
  return {
    specversion: "1.0",
    id,
    source: "heddle/control",
    type: CHANGE_TYPE,
    time: new Date(Date.UTC(2026, 0, 1) + revision * 1_000).toISOString(),
    subject: NAMESPACE,
    datacontenttype: "application/json",
    authtype: "user",
    authid: "ada",
    data: {
      schema: 1,
      actor: { name: "ada" },
      reason: "PCI-142",
      command: { kind: "apply", id, digest: sha256Hex(id) },
      previous,
      events: eventOf(revision),
    },
  };
}

/** Writes without awaiting each acknowledgement, which the control plane never does. Returns the last change's hash. */
async function write(bus: NatsBus, from: number, to: number, before: string): Promise<string> {
  let previous = before;
  for (let revision = from; revision <= to; revision++) {
    const bytes = encodeChange(changeOf(revision, previous));
    previous = sha256Hex(bytes);
    bus.publish(subjects.events(NAMESPACE), bytes);
    if (revision % BATCH !== 0 && revision !== to) continue;
    await bus.flush();
    while ((await lastSequence(bus, EVENT_STREAM)) < revision) await Bun.sleep(5);
  }
  return previous;
}

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

async function cost(run: () => Promise<unknown>): Promise<Cost> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const { user, system } = process.cpuUsage(cpu);
  return { wallMs: performance.now() - start, cpuMs: (user + system) / 1e3 };
}

/** The median, and the slowest, of which one in twenty is left out. */
function say(what: string, costs: readonly Cost[]): void {
  const at = (values: number[], share: number): string =>
    (values.sort((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? 0).toFixed(0);
  const wall = costs.map(({ wallMs }) => wallMs);
  const cpu = costs.map(({ cpuMs }) => cpuMs);
  console.log(what.padEnd(44), `${at(wall, 0.5)} ms, p95 ${at(wall, 0.95)} ms; CPU time ${at(cpu, 0.5)} ms`);
}

async function measure(bus: NatsBus, length: number, cli: readonly string[]): Promise<void> {
  console.log(`${length.toLocaleString("en")} changes`);
  const log = await openEventLog(bus);
  const bucket = await openBucket(bus, CHECKPOINT_BUCKET);
  const source = { log, bucket, projection: meshProjection, codec: meshStateCodec, warn: console.warn };
  const keeper = new HistoryKeeper(source);
  const made = await cost(async () => {
    keeper.start();
    await keeper.settled();
  });
  const rate = Math.round(length / (made.wallMs / 1e3)).toLocaleString("en");
  console.log(
    "  read, folded, checkpoints made or proved".padEnd(44),
    `${(made.wallMs / 1e3).toFixed(1)} s, ${rate}/s`,
  );
  const states: Cost[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const revision = 1 + Math.floor(Math.random() * length);
    states.push(await cost(async () => stateAt(log, revision, (await nearestCheckpoint(source, revision))?.state)));
  }
  say("  the state at a random revision", states);
  for (const args of [["log"], ["log", "--service", "shop/s7"], ["log", "--access"], ["log", "--actor", "nobody"]]) {
    const screens: Cost[] = [];
    const rounds = args.includes("nobody") ? 1 : 5;
    for (let round = 0; round < rounds; round++) {
      const start = performance.now();
      const child = Bun.spawn([HEDDLE, ...args, ...cli], { stdout: "ignore", stderr: "pipe" });
      if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
      const usage = child.resourceUsage();
      const cpuMs = Number(usage?.cpuTime.total ?? 0) / 1e3;
      screens.push({ wallMs: performance.now() - start, cpuMs });
    }
    say(`  heddle ${args.join(" ")}`, screens);
  }
}

const lengths = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100_000, 1_000_000];
const path = await mkdtemp(join(tmpdir(), "heddle-bench-ledger-"));
try {
  const directory = await createDirectory(path, { trustDomain: "mesh.local", operator: "ada" });
  const server = await startServer({ directory, binary: await findServerBinary(process.env) });
  const credentials = await directory.controlCredentials();
  const bus = await connectBus({ url: server.url, credentials, name: "bench", onError: console.error });
  await openEventLog(bus);
  let last = 0;
  let hash = FIRST_PREVIOUS;
  for (const length of lengths) {
    hash = await write(bus, last + 1, length, hash);
    last = length;
    await measure(bus, length, ["--dir", path]);
  }
  await bus.close();
  await server.stop();
} finally {
  await rm(path, { recursive: true, force: true });
}
