/**
 * The measurement itself. All contenders run all the time; every round asks each of them once, in an order drawn anew,
 * so that what the machine does meanwhile falls on all alike.
 */

import { cpuTimeUs, type Memory, memory } from "./accounting.ts";
import type { RunningPair } from "./contender.ts";
import { loadHttp2 } from "./load/h2load.ts";
import { loadHandshakes } from "./load/handshakes.ts";
import type { LoadResult } from "./load/load.ts";
import { loadHttp1 } from "./load/wrk.ts";
import type { Plan, Scenario } from "./scenario.ts";
import { shuffled } from "./statistics.ts";

/** A contender under way, or the control: the first of them once more. */
export interface Entrant {
  readonly label: string;
  readonly acceptsH2c: boolean;
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

export interface Results {
  readonly samples: readonly Sample[];
  readonly handshakes: readonly HandshakeSample[];
  /** Of both proxies together, by contender: before any load, and after all of it. */
  readonly idleMemory: Readonly<Record<string, Memory>>;
  readonly finalMemory: Readonly<Record<string, Memory>>;
}

/** Time to settle after start, before memory at rest is taken. */
const SETTLE_MS = 2_000;

export async function measure(
  entrants: readonly Entrant[],
  plan: Plan,
  random: () => number,
  progress: (message: string) => void,
): Promise<Results> {
  await Bun.sleep(SETTLE_MS);
  const idleMemory = await memoryOf(entrants);
  for (const entrant of entrants) {
    progress(`warming up ${entrant.label}`);
    await loadHttp1({ port: entrant.pair.port, path: "/130", connections: 64, seconds: plan.warmUpSeconds });
  }
  const samples: Sample[] = [];
  const handshakes: HandshakeSample[] = [];
  for (let round = 1; round <= plan.rounds; round++) {
    for (const scenario of shuffled(plan.scenarios, random)) {
      progress(`round ${round} of ${plan.rounds}: ${scenario.name}`);
      for (const entrant of shuffled(entrants, random)) {
        if (scenario.client === "h2c" && !entrant.acceptsH2c) continue;
        samples.push(await sample(entrant, scenario, round, plan.seconds));
      }
    }
    progress(`round ${round} of ${plan.rounds}: handshakes`);
    for (const entrant of shuffled(entrants, random)) {
      const found = await sampleHandshakes(entrant, round, plan.seconds);
      if (found !== undefined) handshakes.push(found);
    }
  }
  return { samples, handshakes, idleMemory, finalMemory: await memoryOf(entrants) };
}

async function sample({ label, pair }: Entrant, scenario: Scenario, round: number, seconds: number): Promise<Sample> {
  const { connections, bodyBytes } = scenario;
  const load = { port: pair.port, path: `/${bodyBytes}`, connections, seconds };
  const beforeUs = await cpuTimeUs(pair.pids);
  const result: LoadResult = await (scenario.client === "h2c" ? loadHttp2(load) : loadHttp1(load));
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

async function memoryOf(entrants: readonly Entrant[]): Promise<Record<string, Memory>> {
  const found: Record<string, Memory> = {};
  for (const { label, pair } of entrants) {
    if (pair.pids.length > 0) found[label] = await memory(pair.pids);
  }
  return found;
}
