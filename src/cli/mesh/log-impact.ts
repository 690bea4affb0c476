/** For `heddle log --impact`: after which changes the signals of the services that they are about got worse. */

import type { HistoryEntry } from "../../replay/history.ts";
import { ChangeImpact, type ServiceImpact, type Worsening } from "../../replay/impact.ts";
import { milliseconds, percent } from "../output/figures.ts";
import type { Paint } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";
import type { OperatorContext } from "./context.ts";
import { reports } from "./traffic-input.ts";

/** Looked at on either side of each change. */
const WINDOW_MS = 30 * 60_000;

/** By revision, the services of which something got worse; the traffic ledger is read once. */
export async function worseningsOf(
  context: Pick<OperatorContext, "bus">,
  entries: readonly HistoryEntry[],
  nowMs: number,
): Promise<ReadonlyMap<number, readonly ServiceImpact[]>> {
  const changes = entries.map(({ recorded }) => new ChangeImpact(recorded, WINDOW_MS));
  const found = new Map<number, readonly ServiceImpact[]>();
  if (changes.length === 0) return found;
  const span = {
    fromMs: Math.min(...changes.map(({ fromMs }) => fromMs)),
    toMs: Math.max(...changes.map(({ toMs }) => toMs)),
  };
  for await (const report of reports(context, span)) for (const change of changes) change.add(report);
  for (const change of changes) {
    const worse = change.impacts(nowMs).filter((impact) => impact.worse.length > 0);
    if (worse.length > 0) found.set(change.recorded.revision, worse);
  }
  return found;
}

/** `! revision 41: errors of shop/api rose, 0.1% → 3.2%` */
export function impactLines(impacts: ReadonlyMap<number, readonly ServiceImpact[]>, paint: Paint): string {
  return [...impacts]
    .flatMap(([revision, services]) =>
      services.flatMap((impact) =>
        impact.worse.map((what) => paint("red", `! revision ${revision}: ${safeText(worseningText(what, impact))}\n`)),
      ),
    )
    .join("");
}

function worseningText(what: Worsening, { service, before, after }: ServiceImpact): string {
  switch (what) {
    case "errors":
      return `errors of ${service} rose, ${percent(before.errors)} → ${percent(after.errors)}`;
    case "refusals":
      return `refused calls of ${service} rose, ${percent(before.refused)} → ${percent(after.refused)}`;
    case "latency":
      return `latency (p99) of ${service} rose, ${milliseconds(before.p99Ms)} → ${milliseconds(after.p99Ms)}`;
  }
}
