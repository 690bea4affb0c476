/** Which of the failures that a rule or an operator asks for one request meets: each by a draw of its own. */

import type { SnapshotFault } from "../../projections/snapshot.ts";
import type { Bandwidth } from "../upstream/call-plan.ts";

export interface DrawnFault {
  readonly delayMs: number | undefined;
  readonly abort: SnapshotFault["abort"];
  readonly bandwidth: Bandwidth | undefined;
}

type Delay = NonNullable<SnapshotFault["delay"]>;

/** Undefined: the request is spared. `random` is in [0, 1), drawn anew at each call. */
export function drawFault({ delay, abort, bandwidth }: SnapshotFault, random: () => number): DrawnFault | undefined {
  const drawn = {
    delayMs: delay !== undefined && isDrawn(delay.percent, random) ? delayMs(delay, random) : undefined,
    abort: abort !== undefined && isDrawn(abort.percent, random) ? abort : undefined,
    bandwidth: bandwidth !== undefined && isDrawn(bandwidth.percent, random) ? bandwidth : undefined,
  };
  return Object.values(drawn).some((met) => met !== undefined) ? drawn : undefined;
}

/** A share in percent. */
export function isDrawn(percent: number, random: () => number): boolean {
  return percent >= 100 || (percent > 0 && random() * 100 < percent);
}

/** Between two percentiles in proportion, below the first from nothing, above the last as long as that. */
function delayMs({ fixedMs = 0, percentiles }: Delay, random: () => number): number {
  if (percentiles === undefined) return fixedMs;
  const rank = random() * 100;
  let below = { percentile: 0, ms: 0 };
  for (const point of percentiles) {
    if (rank < point.percentile) {
      const way = (rank - below.percentile) / (point.percentile - below.percentile);
      return below.ms + way * (point.ms - below.ms);
    }
    below = point;
  }
  return below.ms;
}
