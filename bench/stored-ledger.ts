/**
 * The ledger as it is stored: what it takes to know the mesh as of any revision, and to see the last changes, of a ledger
 * of 100,000 changes and of one of a million, on a real nats-server. The figures to hold: 100 ms for a state, growing by
 * less than a third from the one to the other, and 300 ms for the first screen of `heddle log`, process and all. Takes
 * some minutes and 1 GB of disk; the lengths may be given as arguments.
 */

import { FIRST_PREVIOUS } from "../src/events/change.ts";
import { openEventLog } from "../src/events/jetstream-log.ts";
import { openBucket } from "../src/nats/buckets.ts";
import type { NatsBus } from "../src/nats/nats-bus.ts";
import { CHECKPOINT_BUCKET } from "../src/nats/subjects.ts";
import { HistoryKeeper, nearestCheckpoint } from "../src/projections/history-checkpoints.ts";
import { meshProjection } from "../src/projections/projection.ts";
import { meshStateCodec } from "../src/projections/state-codec.ts";
import { changeIndex, changeIndexCodec } from "../src/replay/change-index.ts";
import { stateAt } from "../src/replay/state-at.ts";
import { withLedgerServer } from "./ledger-server.ts";
import { type Cost, cost, measureCommand, say } from "./measured-command.ts";
import { writeChanges } from "./written-ledger.ts";

const ROUNDS = 40;
const commands = (length: number): readonly (readonly string[])[] => [
  ["log"],
  ["log", "--service", "shop/s7"],
  ["log", "--access"],
  ["log", "--actor", "nobody"],
  ["log", "--until", "2026-01-01T00:10:00Z"],
  ["blame", "Service/shop/s7"],
  // One change in a hundred is to it.
  ["blame", "AccessPolicy/shop/s7"],
  ["at", String(Math.ceil(length / 2)), "get"],
  ["explain", "shop/s8", "shop/s7", "GET", "/"],
];
/** What no index tells. */
const COMMANDS_READING_ALL = [["log", "--grep", "never said"]];

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
  const indexed = new HistoryKeeper({ ...source, projection: changeIndex(), codec: changeIndexCodec });
  const index = await cost(async () => {
    indexed.start();
    await indexed.settled();
  });
  console.log("  read, indexes made or proved".padEnd(44), `${(index.wallMs / 1e3).toFixed(1)} s`);
  const states: Cost[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const revision = 1 + Math.floor(Math.random() * length);
    states.push(await cost(async () => stateAt(log, revision, (await nearestCheckpoint(source, revision))?.state)));
  }
  say("  the state at a random revision", states);
  for (const args of commands(length)) await measureCommand(args, 5, cli);
  for (const args of COMMANDS_READING_ALL) await measureCommand(args, 1, cli);
}

const lengths = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100_000, 1_000_000];
await withLedgerServer(async ({ bus, cli }) => {
  let last = 0;
  let hash = FIRST_PREVIOUS;
  for (const length of lengths) {
    hash = await writeChanges(bus, last + 1, length, hash);
    last = length;
    await measure(bus, length, cli);
  }
});
