/** The lanes of `log --graph`: one for each namespace, since only the changes of one namespace follow upon one another. */

import type { HistoryEntry } from "../../replay/history.ts";
import type { Paint, Style } from "./output.ts";

/** Beside one another on a terminal; the namespaces beyond share the last one. */
const LANES_MAX = 12;
const COLOURS: readonly Style[] = ["cyan", "green", "yellow", "red"];

/** For each entry, in the order in which they are shown, its lanes: `* │` and the like. */
export function graphLanes(entries: readonly HistoryEntry[], paint: Paint): string[] {
  const lanes = new Map<string, number>();
  for (const { recorded } of entries) {
    if (!lanes.has(recorded.namespace)) lanes.set(recorded.namespace, Math.min(lanes.size, LANES_MAX - 1));
  }
  const width = Math.min(lanes.size, LANES_MAX);
  const own = entries.map(({ recorded }) => lanes.get(recorded.namespace) ?? 0);
  return own.map((lane, row) => {
    const cells = Array.from({ length: width }, (_, column) => {
      const isAlive = own.indexOf(column) <= row && own.lastIndexOf(column) >= row;
      return laneMark(column === lane, isAlive, paint, COLOURS[column % COLOURS.length] ?? "cyan");
    });
    return cells.join(" ");
  });
}

function laneMark(isHere: boolean, isAlive: boolean, paint: Paint, colour: Style): string {
  if (isHere) return paint(colour, "*");
  return isAlive ? paint(colour, "│") : " ";
}
