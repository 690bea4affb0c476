/**
 * Damaged input by the second: `npm run fuzz -- 600` for ten minutes of each, `HEDDLE_FUZZ_SEED` to repeat what failed.
 * Every round has a seed of its own, so that one number repeats one round.
 */

import { expect } from "bun:test";

/** How long each fuzz test goes on. */
const FUZZ_SECONDS = Number(process.env.HEDDLE_FUZZ_SECONDS ?? 4);
const repeated = process.env.HEDDLE_FUZZ_SEED;

/** What a run may leave behind, in all: what grows with the number of rounds is a leak. */
const GROWTH_MAX_BYTES = 48 * 1024 * 1024;

/** Runs rounds until the time is up, or one round where a seed is given; names the seed of a round that fails. */
export function fuzz(name: string, round: (seed: number) => void): void {
  if (repeated !== undefined) {
    round(Number(repeated));
    return;
  }
  const first = Math.floor(Math.random() * 2 ** 31);
  const endsAtMs = performance.now() + FUZZ_SECONDS * 1000;
  let seed = first;
  let heapBytes: number | undefined;
  for (; performance.now() < endsAtMs; seed++) {
    try {
      round(seed);
    } catch (cause) {
      throw new Error(`HEDDLE_FUZZ_SEED=${seed}`, { cause });
    }
    // By then everything is compiled, and every table as large as it gets.
    if (seed - first === 500) heapBytes = heapAfterCollection();
  }
  const rounds = seed - first;
  console.log(`${name}: ${rounds} rounds from seed ${first}`);
  expect(rounds).toBeGreaterThan(10);
  if (heapBytes !== undefined) expect(heapAfterCollection() - heapBytes).toBeLessThan(GROWTH_MAX_BYTES);
}

function heapAfterCollection(): number {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}
