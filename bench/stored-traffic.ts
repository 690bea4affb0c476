/**
 * A day of traffic as it is stored: what the commands that read the traffic ledger cost, process and all, on a real
 * nats-server. 100 services of two instances each report once a minute: 288,000 reports of two million kinds of calls.
 * The figure to hold: five seconds for `heddle what-if`. Takes some minutes and 500 MB of disk; the hours of traffic may be
 * given as an argument.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RollupKeeper } from "../src/control/traffic-rollups.ts";
import { FIRST_PREVIOUS } from "../src/events/change.ts";
import { openBucket } from "../src/nats/buckets.ts";
import { CHECKPOINT_BUCKET, subjects, TRAFFIC_STREAM } from "../src/nats/subjects.ts";
import { ensureTrafficStream } from "../src/nats/traffic-stream.ts";
import { encodeTrafficSummary, type TrafficCall } from "../src/telemetry/traffic-summary.ts";
import { withLedgerServer } from "./ledger-server.ts";
import { cost, measureCommand } from "./measured-command.ts";
import { type Message, NAMESPACE, SERVICES, writeChanges, writeMessages } from "./written-ledger.ts";

const HOURS = Number(process.argv[2] ?? 24);
const MINUTE_MS = 60_000;
const INSTANCES = 2;
/** Of each report: three callers, and these on up to three paths. */
const KINDS = 7;
const ROUNDS = 5;

/** Of the service that the bench asks about: GET for one caller, where it was everything. */
const CANDIDATE = `apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: ${NAMESPACE}, name: s7 }
spec:
  service: s7
  rules:
    - allow: { from: [${NAMESPACE}/s8], methods: [GET], paths: ["/things/*/part-0"] }
`;

/** Each service called by three others, reported by both of its instances once a minute. */
function* reports(nowMs: number): Generator<Message> {
  const startMs = nowMs - HOURS * 60 * MINUTE_MS;
  for (let minute = 1; minute <= HOURS * 60; minute++) {
    for (let at = 0; at < SERVICES * INSTANCES; at++) {
      const [service, instance] = [at % SERVICES, `i${Math.floor(at / SERVICES)}`];
      const calls = Array.from({ length: KINDS }, (_, kind) => callOf(service, kind));
      const toMs = startMs + minute * MINUTE_MS;
      const head = { schema: 1 as const, instance, epoch: 1, sequence: minute, droppedCalls: 0 };
      const subject = subjects.traffic(NAMESPACE, `s${service}`, instance);
      yield { subject, data: encodeTrafficSummary({ ...head, fromMs: toMs - MINUTE_MS, toMs, calls }) };
    }
  }
}

function callOf(service: number, kind: number): TrafficCall {
  return {
    source: `${NAMESPACE}/s${(service + 1 + (kind % 3)) % SERVICES}`,
    destination: `${NAMESPACE}/s${service}`,
    method: kind === 0 ? "POST" : "GET",
    path: `/things/{}/part-${Math.floor(kind / 3)}`,
    decision: kind % 3 === 0 ? "allowed" : "denied",
    count: 60,
    errors: 0,
    latency: [20, 40, 24, 15, 40, 5],
  };
}

async function measure(cli: readonly string[], candidate: string, rounds: number): Promise<void> {
  for (const args of [
    ["what-if", "-f", candidate, "--since", `${HOURS}h`],
    ["suggest", "access", `${NAMESPACE}/s7`, "--since", `${HOURS}h`],
    ["top", "--edges", "--once", "--window", "1h"],
  ]) {
    await measureCommand(args, rounds, cli);
  }
}

await withLedgerServer(async ({ bus, directory, cli }) => {
  await writeChanges(bus, 1, 3 * SERVICES, FIRST_PREVIOUS);
  await ensureTrafficStream(bus);
  await writeMessages(bus, TRAFFIC_STREAM, reports(Date.now()));
  const candidate = join(directory, "new.yaml");
  await writeFile(candidate, CANDIDATE);
  const number = (HOURS * 60 * SERVICES * INSTANCES).toLocaleString("en");
  console.log(`${number} reports, read one by one`);
  await measure(cli, candidate, 1);
  const keeper = new RollupKeeper({ bus, bucket: await openBucket(bus, CHECKPOINT_BUCKET), warn: console.warn });
  const made = await cost(() => keeper.look());
  console.log(`rolled up in ${(made.wallMs / 1e3).toFixed(1)} s, CPU time ${(made.cpuMs / 1e3).toFixed(1)} s`);
  await measure(cli, candidate, ROUNDS);
});
