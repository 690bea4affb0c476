/**
 * What it costs to take up the snapshot of a thousand routes, and what requests notice of it: rounds without, with one of the
 * thousand services changed and with all of them, taken in turn, so that what the machine does besides falls on all alike.
 * First the work by itself, in this process and at its fastest, which a busy machine can least distort.
 */

import { encodeSnapshot } from "../src/projections/compile-snapshot.ts";
import { type ReadSnapshot, readSnapshot } from "../src/projections/snapshot-reading.ts";
import { splitSnapshot } from "../src/projections/snapshot-text.ts";
import { NO_KEYS } from "../src/proxy/jwt/jwks-cache.ts";
import { compilePolicy, type Policy } from "../src/proxy/policy.ts";
import { systemRuntime } from "../src/proxy/runtime.ts";
import { UpstreamDirectory } from "../src/proxy/sidecar/upstream-directory.ts";
import { cpuTimeUs } from "./accounting.ts";
import { loadOpenLoop } from "./load/open-loop.ts";
import { altered, type Pair, SnapshotPushes, snapshotOfWeb } from "./snapshot-pushes.ts";
import { median, percentile } from "./statistics.ts";

/** Which services each swap changes. */
const KINDS = {
  "one service changed": (ref: string): boolean => ref === "shop/catalog",
  "all changed": (): boolean => true,
} as const;
const ALONE_ROUNDS = 25;
const ROUNDS = 6;
const SWAPS_PER_ROUND = 10;
const PAUSE_MS = 250;
const LOAD = { path: "/130", connections: 16, requestsPerSecond: 400 } as const;
const SECONDS = (SWAPS_PER_ROUND * PAUSE_MS) / 1_000;

export async function swapLarge(pair: Pair, show: (name: string, text: string) => void): Promise<void> {
  await work(pair, show);
  const [webPid = 0] = pair.pids;
  const load = { ...LOAD, port: pair.port, seconds: SECONDS };
  await loadOpenLoop(load);
  const pushes = await SnapshotPushes.of(pair);
  const found = new Map<
    string,
    { readonly timesMs: number[]; readonly latenciesUs: number[]; failed: number; cpuUs: number }
  >();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, changes] of [["no swap", undefined], ...Object.entries(KINDS)] as const) {
      const own = found.get(name) ?? { timesMs: [], latenciesUs: [], failed: 0, cpuUs: 0 };
      found.set(name, own);
      const ready = changes && pushes.prepare(SWAPS_PER_ROUND, changes);
      const beforeUs = await cpuTimeUs([webPid]);
      const swapping = ready && pushes.push(ready, () => Bun.sleep(PAUSE_MS));
      const { latenciesUs, failed } = await loadOpenLoop(load);
      own.timesMs.push(...((await swapping) ?? []));
      own.latenciesUs.push(...latenciesUs);
      own.failed += failed;
      own.cpuUs += (await cpuTimeUs([webPid])) - beforeUs;
    }
  }
  const restUs = found.get("no swap")?.cpuUs ?? 0;
  for (const [name, { timesMs, latenciesUs, failed, cpuUs }] of found) {
    const sorted = latenciesUs.sort((a, b) => a - b);
    const shares = [0.5, 0.99, 0.999, 1].map((share) => (percentile(sorted, share) / 1_000).toFixed(1));
    show(`${name}: p50, p99, p99.9 and longest of requests`, `${shares.join(", ")} ms, ${failed} failed`);
    if (timesMs.length === 0) continue;
    const most = Math.max(...timesMs).toFixed(0);
    const swapMs = (cpuUs - restUs) / 1_000 / timesMs.length;
    show(`${name}: pushed until in force`, `p50 ${median(timesMs).toFixed(0)}, at most ${most} ms`);
    show(`${name}: CPU time of the sidecar per swap`, `${swapMs.toFixed(0)} ms, NATS and storing included`);
  }
}

/** Reading and putting in force, as `ConfigSource` and the data plane do it, with the longest stretch between two turns. */
async function work(pair: Pair, show: (name: string, text: string) => void): Promise<void> {
  const first = await snapshotOfWeb(pair);
  const sources = { jwks: NO_KEYS, wallMs: Date.now, labels: {} };
  for (const [name, changes] of Object.entries(KINDS)) {
    const directory = new UpstreamDirectory(systemRuntime(), { identity: undefined, identityTowards: () => undefined });
    let known: ReadSnapshot | undefined;
    let policy: Policy | undefined;
    const totals: number[] = [];
    const longest: number[] = [];
    for (let round = 0; round < ALONE_ROUNDS; round++) {
      const bytes = encodeSnapshot(altered(first, first.revision + round, changes));
      const stretches: number[] = [];
      const split = inPieces(splitSnapshot(bytes, known), stretches);
      const read = inPieces(readSnapshot(split), stretches);
      if (typeof read === "string") throw new Error(read);
      known = read;
      const startMs = performance.now();
      policy = compilePolicy(read.snapshot, sources, policy);
      directory.keep(policy.routes.upstreams);
      stretches.push(performance.now() - startMs);
      totals.push(stretches.reduce((sum, one) => sum + one, 0));
      longest.push(Math.max(...stretches));
    }
    directory.close();
    const text = `${Math.min(...totals).toFixed(1)} ms, in stretches of at most ${Math.min(...longest).toFixed(1)} ms`;
    show(`${name}: to read and put in force, by itself`, text);
  }
}

function inPieces<T>(work: Generator<void, T>, stretches: number[]): T {
  for (let sinceMs = performance.now(); ; ) {
    const step = work.next();
    const nowMs = performance.now();
    if (step.done !== true && nowMs - sinceMs < 1) continue;
    stretches.push(nowMs - sinceMs);
    if (step.done === true) return step.value;
    sinceMs = nowMs;
  }
}
