/**
 * Near endpoints first (Envoy's priority levels): those of the caller's own zone, then of its region, then all others.
 * As a level loses endpoints, what it can no longer take goes on to the next, before the last of them is gone.
 */

import type { Endpoint } from "../../projections/snapshot.ts";
import { REGION_LABEL, ZONE_LABEL } from "./labels.ts";
import { indexAt } from "./share.ts";

/** A level that has lost less than two sevenths of its endpoints still takes all that is meant for it, as in Envoy. */
const OVERPROVISIONING = 1.4;

export type Labels = Readonly<Record<string, string>>;

/** Members by distance, nearest first; levels without any are left out. One level where nobody says where it is. */
export function levelsOf<T extends { readonly endpoint: Endpoint }>(
  members: readonly T[],
  own: Labels,
): (readonly T[])[] {
  if (own[REGION_LABEL] === undefined && own[ZONE_LABEL] === undefined) return [members];
  const levels: T[][] = [[], [], []];
  for (const member of members) levels[distance(own, member.endpoint.labels)]?.push(member);
  return levels.filter((level) => level.length > 0);
}

function distance(own: Labels, other: Labels): number {
  if (own[REGION_LABEL] !== other[REGION_LABEL]) return 2;
  return own[ZONE_LABEL] === other[ZONE_LABEL] ? 0 : 1;
}

/**
 * The members among which one request is balanced: those of one level that are well, or all of it where too few are.
 * @param panicPercent with a smaller share well than this, all are used.
 */
export function chooseAmong<T>(
  levels: readonly (readonly T[])[],
  isWell: (member: T) => boolean,
  panicPercent: number,
  random: () => number,
): readonly T[] {
  const wells = levels.map((level) => level.filter(isWell));
  const shares = wells.map((well, at) => Math.min(1, (OVERPROVISIONING * well.length) / (levels[at]?.length ?? 1)));
  const total = Math.min(
    1,
    shares.reduce((sum, share) => sum + share, 0),
  );
  // Bad endpoints are better than none.
  if (total === 0) return levels[0] ?? [];
  const at = shares.length === 1 ? 0 : indexAt(random() * total, shares);
  const level = levels[at] ?? [];
  const well = wells[at] ?? [];
  return (well.length / level.length) * 100 < panicPercent ? level : well;
}
