/** Which of several endpoints a request goes to: the algorithms, over members that may all be taken. */

import type { SnapshotUpstream } from "../../projections/snapshot.ts";
import type { PeakLatency } from "./latency.ts";
import { indexAt } from "./share.ts";

/** What balancing looks at. */
export interface Balanced {
  /** Requests of ours that it has not answered yet. */
  readonly active: number;
  readonly latency: PeakLatency;
  /** Its share, compared with the others': above 0. As of now, where it grows. */
  weightAt(nowMs: number): number;
  /** Of smooth weighted round robin. */
  turn: number;
}

type Random = () => number;
export type Algorithm = SnapshotUpstream["loadBalancer"];

/** @param even all weights are the same, so that none need be looked at. */
export interface Draw {
  readonly even: boolean;
  readonly nowMs: number;
  readonly random: Random;
}

/**
 * Picks one of at least one. Without a key to hash, those algorithms that want one draw at random, as in Envoy.
 * Least request and peak EWMA are the power of two choices: the better of two drawn at random.
 */
export function balance<T extends Balanced>(algorithm: Algorithm, members: readonly T[], draw: Draw): T | undefined {
  if (members.length <= 1) return members[0];
  switch (algorithm) {
    case "round-robin":
      return takeTurns(members, draw);
    case "least-request":
      return betterOfTwo(members, draw, ({ active }) => active);
    case "peak-ewma":
      return betterOfTwo(members, draw, ({ active, latency }, other) => {
        // Alike, or one that nobody knows yet: then only load tells them apart.
        return (active + 1) * (latency.differs(other.latency, draw.nowMs) ? latency.at(draw.nowMs) : 1);
      });
    case "random":
    case "ring-hash":
    case "maglev":
      return members[drawIndex(members, draw)];
  }
}

function betterOfTwo<T extends Balanced>(
  members: readonly T[],
  draw: Draw,
  cost: (member: T, other: T) => number,
): T | undefined {
  const at = drawIndex(members, draw);
  const one = members[at];
  const other = draw.even ? members[anotherIndex(members.length, at, draw.random)] : drawOther(members, at, draw);
  if (one === undefined || other === undefined) return one;
  return cost(other, one) < cost(one, other) ? other : one;
}

/** Drawn among the others, so that the two always differ. */
function anotherIndex(count: number, at: number, random: Random): number {
  return (at + 1 + Math.floor(random() * (count - 1))) % count;
}

function drawOther<T extends Balanced>(members: readonly T[], at: number, draw: Draw): T | undefined {
  const others = members.filter((_, index) => index !== at);
  return others[drawIndex(others, draw)];
}

/** Drawn by weight. */
function drawIndex(members: readonly Balanced[], { even, nowMs, random }: Draw): number {
  if (even) return Math.floor(random() * members.length);
  const weights = members.map((member) => member.weightAt(nowMs));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const at = indexAt(random() * total, weights);
  return at < 0 ? members.length - 1 : at;
}

/** Smooth weighted round robin, as nginx has it: everybody gains its weight, and who has most pays the sum. */
function takeTurns<T extends Balanced>(members: readonly T[], { nowMs }: Draw): T | undefined {
  let total = 0;
  let best: T | undefined;
  for (const member of members) {
    const weight = member.weightAt(nowMs);
    total += weight;
    member.turn += weight;
    if (best === undefined || member.turn > best.turn) best = member;
  }
  if (best !== undefined) best.turn -= total;
  return best;
}
