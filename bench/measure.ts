/**
 * The measurement itself. All contenders run all the time; every round asks each of them once, in an order drawn anew,
 * so that what the machine does meanwhile falls on all alike.
 */

import { cpuTimeUs, type Memory, memory } from "./accounting.ts";
import type { Protocol, RunningPair } from "./contender.ts";
import { loadGrpc, loadHttp2 } from "./load/h2load.ts";
import { loadHandshakes } from "./load/handshakes.ts";
import type { LoadResult } from "./load/load.ts";
import { loadOpenLoop } from "./load/open-loop.ts";
import { loadHttp1 } from "./load/wrk.ts";
import { OPEN_LOOP, type Plan, type Scenario } from "./scenario.ts";
import { shuffled } from "./statistics.ts";

/** A contender under way, or the control: the first of them once more. */
export interface Entrant {
  readonly label: string;
  readonly acceptsH2c: boolean;
  /** What the application behind it speaks. */
  readonly protocol: Protocol;
  readonly pair: RunningPair;
}

/** One contender in one scenario and round. */
export interface Sample {
  readonly contender: string;
  readonly scenario: string;
  readonly round: number;
  readonly requestsPerSecond: number;
  /** Of both proxies together; NaN for the direct call. */
  readonly cpuUsPerRequest: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly failed: number;
}

export interface HandshakeSample {
  readonly contender: string;
  readonly round: number;
  readonly handshakesPerSecond: number;
  readonly cpuUsPerHandshake: number;
}

/** Latency at a fixed rate of arrivals, in microseconds. */
export interface LatencySample {
  readonly contender: string;
  readonly round: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly failed: number;
}

export interface Results {
  readonly samples: readonly Sample[];
  readonly handshakes: readonly HandshakeSample[];
  readonly openLoop: readonly LatencySample[];
  /** Of both proxies together, by contender: before any load, and after all of it. */
  readonly idleMemory: Readonly<Record<string, Memory>>;
  readonly finalMemory: Readonly<Record<string, Memory>>;
}

/** Time to settle after start, before memory at rest is taken: more than a sidecar waits until it gives memory back. */
const SETTLE_MS = 25_000;

/**
 * Load of the same kind before each measured time, which counts for nobody: runtimes that compile forget code that has not
 * run while others had their turn, and what is asked is what a request costs, not a pause.
 */
const LEAD_IN_SECONDS = 1;

export async function measure(
  entrants: readonly Entrant[],
  plan: Plan,
  random: () => number,
  progress: (message: string) => void,
): Promise<Results> {
  await Bun.sleep(SETTLE_MS);
  const http = entrants.filter(({ protocol }) => protocol === "http");
  const idleMemory = await memoryOf(http);
  for (const { label, protocol, pair } of entrants) {
    progress(`warming up ${label}`);
    const warmUp = { port: pair.port, path: "/130", seconds: plan.warmUpSeconds };
    if (protocol === "grpc") await loadGrpc({ ...warmUp, connections: 4 });
    else await loadHttp1({ ...warmUp, connections: 64 });
  }
  const samples: Sample[] = [];
  const handshakes: HandshakeSample[] = [];
  const openLoop: LatencySample[] = [];
  for (let round = 1; round <= plan.rounds; round++) {
    for (const scenario of shuffled(plan.scenarios, random)) {
      progress(`round ${round} of ${plan.rounds}: ${scenario.name}`);
      for (const entrant of shuffled(entrants, random)) {
        if (takesPart(entrant, scenario)) samples.push(await sample(entrant, scenario, round, plan.seconds));
      }
    }
    progress(`round ${round} of ${plan.rounds}: handshakes`);
    for (const entrant of shuffled(http, random)) {
      const found = await sampleHandshakes(entrant, round, plan.seconds);
      if (found !== undefined) handshakes.push(found);
    }
    progress(`round ${round} of ${plan.rounds}: latency at ${OPEN_LOOP.requestsPerSecond} requests/s`);
    for (const entrant of shuffled(http, random)) openLoop.push(await sampleLatency(entrant, round, plan.seconds));
  }
  return { samples, handshakes, openLoop, idleMemory, finalMemory: await memoryOf(http) };
}

function takesPart({ protocol, acceptsH2c }: Entrant, { client }: Scenario): boolean {
  if (client === "grpc") return protocol === "grpc";
  return protocol === "http" && (client !== "h2c" || acceptsH2c);
}

const LOADS = { "http/1.1": loadHttp1, h2c: loadHttp2, grpc: loadGrpc } as const;

async function sample({ label, pair }: Entrant, scenario: Scenario, round: number, seconds: number): Promise<Sample> {
  const { connections, bodyBytes, varied } = scenario;
  const load = { port: pair.port, path: `/${bodyBytes}`, connections, seconds, varied };
  await LOADS[scenario.client]({ ...load, seconds: LEAD_IN_SECONDS });
  const beforeUs = await cpuTimeUs(pair.pids);
  const result: LoadResult = await LOADS[scenario.client](load);
  const cpuUs = (await cpuTimeUs(pair.pids)) - beforeUs;
  return {
    contender: label,
    scenario: scenario.name,
    round,
    requestsPerSecond: result.requests / (result.durationUs / 1_000_000),
    cpuUsPerRequest: pair.pids.length === 0 ? Number.NaN : cpuUs / result.requests,
    p50Us: result.p50Us,
    p99Us: result.p99Us,
    failed: result.failed,
  };
}

async function sampleHandshakes(
  { label, pair }: Entrant,
  round: number,
  seconds: number,
): Promise<HandshakeSample | undefined> {
  if (pair.inbound === undefined) return undefined;
  const beforeUs = await cpuTimeUs(pair.pids);
  const { handshakes, durationUs } = await loadHandshakes({ ...pair.inbound, seconds });
  const cpuUs = (await cpuTimeUs(pair.pids)) - beforeUs;
  return {
    contender: label,
    round,
    handshakesPerSecond: handshakes / (durationUs / 1_000_000),
    cpuUsPerHandshake: cpuUs / handshakes,
  };
}

async function sampleLatency({ label, pair }: Entrant, round: number, seconds: number): Promise<LatencySample> {
  const { requestsPerSecond, connections, bodyBytes } = OPEN_LOOP;
  const load = { port: pair.port, path: `/${bodyBytes}`, connections, seconds, requestsPerSecond };
  const { p50Us, p99Us, failed } = await loadOpenLoop(load);
  return { contender: label, round, p50Us, p99Us, failed };
}

async function memoryOf(entrants: readonly Entrant[]): Promise<Record<string, Memory>> {
  const found: Record<string, Memory> = {};
  for (const { label, pair } of entrants) {
    if (pair.pids.length > 0) found[label] = await memory(pair.pids);
  }
  return found;
}
