/**
 * The ledger's own figures, without a network: how fast history becomes state, in a small namespace and in one of 500
 * services, and how long a day's calls of 100 services take to be read and judged under other policy. The figures to
 * hold: 100,000 events/s, and five seconds.
 */

import { recordedChange } from "../src/events/chain.ts";
import { FIRST_PREVIOUS, type RecordedChange } from "../src/events/change.ts";
import type { DomainEvent } from "../src/events/domain-events.ts";
import { foldAll } from "../src/events/evolve.ts";
import type { MeshState } from "../src/events/state.ts";
import { TrafficTable } from "../src/replay/traffic-table.ts";
import { whatIf } from "../src/replay/what-if.ts";
import { decodeTrafficSummary, encodeTrafficSummary, type TrafficCall } from "../src/telemetry/traffic-summary.ts";
import { storedChanges } from "./written-ledger.ts";

const EVENTS = 1_000_000;
const STORED_EVENTS = 200_000;
const ROUNDS = 3;
const NAMESPACE = "shop";

function recorded(revision: number, events: readonly DomainEvent[]): RecordedChange {
  return {
    revision,
    namespace: NAMESPACE,
    hash: "",
    // What a fold looks at; the envelope around it costs nothing here.
    change: { time: "2026-03-01T12:00:00.000Z", data: { actor: { name: "ada" }, events } },
  } as unknown as RecordedChange;
}

/** Services with a policy each, and then grants, revocations and shifts among them, one event a change. */
function* history(services: number, length: number): Generator<RecordedChange> {
  const name = (at: number): string => `s${at % services}`;
  let revision = 0;
  for (let at = 0; at < services; at++) {
    const about = { namespace: NAMESPACE, name: name(at) };
    const spec = { ports: [{ port: 8080, protocol: "http" as const }] };
    yield recorded(++revision, [
      { type: "ServiceDeclared", ...about, spec },
      { type: "AccessPolicyDeclared", ...about, service: name(at) },
    ]);
  }
  while (revision < length) {
    const at = revision % services;
    const about = { namespace: NAMESPACE, name: name(at), service: name(at), index: 0 };
    const rule = { allow: { from: [`${NAMESPACE}/${name(at + 1)}`] } };
    const isGrant = Math.floor(revision / services) % 2 === 1;
    yield recorded(++revision, [
      isGrant ? { type: "AccessGranted", ...about, rule } : { type: "AccessRevoked", ...about, rule },
    ]);
  }
}

function best(run: () => void): number {
  let bestMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(start);
    bestMs = Math.min(bestMs, (user + system) / 1e3);
  }
  return bestMs;
}

function benchReplay(services: number): void {
  const changes = [...history(services, EVENTS)];
  const ms = best(() => void foldAll(changes));
  const rate = Math.round((EVENTS + services) / (ms / 1e3));
  console.log(`replay, ${services} services`.padEnd(44), `${rate.toLocaleString("en")} events/s of CPU time`);
}

/** From the bytes that the ledger stores: parsed, validated, hashed for the chain, folded. */
function benchStoredReplay(): void {
  const stored = [...storedChanges(1, STORED_EVENTS, FIRST_PREVIOUS)];
  function* changes(): Generator<RecordedChange> {
    for (const [index, data] of stored.entries()) yield recordedChange(data, index + 1);
  }
  const ms = best(() => void foldAll(changes()));
  const rate = Math.round(STORED_EVENTS / (ms / 1e3));
  console.log(
    "replay from bytes as stored, 100 services".padEnd(44),
    `${rate.toLocaleString("en")} events/s of CPU time`,
  );
}

/** Each of 100 services called by three others on five paths, reported once a minute. */
function* reports(): Generator<{ subject: string; data: Uint8Array }> {
  for (let minute = 1; minute <= 24 * 60; minute++) {
    for (let at = 0; at < 100; at++) {
      const calls = Array.from({ length: 15 }, (_, kind): TrafficCall => {
        const path = `/things/{}/part-${kind % 5}`;
        const source = `${NAMESPACE}/s${(at + 1 + Math.floor(kind / 5)) % 100}` as const;
        const counts = [20, 40, 24, 15, 40, 5];
        const rest = { decision: "allowed" as const, count: 60, errors: 0, latency: counts };
        return { source, destination: `${NAMESPACE}/s${at}`, method: "GET", path, ...rest };
      });
      const times = { fromMs: minute * 60_000, toMs: (minute + 1) * 60_000 };
      const head = { schema: 1 as const, instance: `s${at}-0`, epoch: 1, sequence: minute, droppedCalls: 0 };
      yield { subject: `s${at}`, data: encodeTrafficSummary({ ...head, ...times, calls }) };
    }
  }
}

function benchWhatIf(): void {
  const messages = [...reports()];
  const now: MeshState = foldAll(history(100, 200));
  const after: MeshState = foldAll(history(100, 250));
  let flips = 0;
  const ms = best(() => {
    const table = new TrafficTable();
    for (const { subject, data } of messages) {
      const summary = decodeTrafficSummary(data);
      if (summary !== undefined) table.add(subject, summary);
    }
    flips = whatIf(table.calls(), now, after).flips.length;
  });
  const what = `what-if, ${messages.length.toLocaleString("en")} reports`;
  console.log(what.padEnd(44), `${(ms / 1e3).toFixed(2)} s of CPU time, ${flips} kinds of calls differ`);
}

for (const services of [10, 100, 500]) benchReplay(services);
benchStoredReplay();
benchWhatIf();
