/** Recorded calls of which other policy would make something else, in words and as values. */

import { refOf } from "../../replay/called-side.ts";
import { resultText } from "../../replay/explain.ts";
import { sourceText } from "../../replay/source.ts";
import { type Flip, type FlipKind, whereTo } from "../../replay/what-if.ts";
import { type Paint, table } from "./output.ts";
import { safeText } from "./safe-text.ts";

/** Kinds of calls that a person is shown; machines get them all. */
const SHOWN_MAX = 50;

const COUNTED: Readonly<Record<FlipKind, string>> = {
  denied: "would be refused",
  allowed: "would be let through",
  rerouted: "would go elsewhere",
};

/** `12 would be refused, 3 would go elsewhere`. */
export function countsText(flips: readonly Flip[]): string {
  const groups = Map.groupBy(flips, ({ kind }) => kind);
  if (groups.size === 0) return "nothing would change for any of them";
  const texts = Array.from(groups, ([kind, own]) => {
    const calls = own.reduce((sum, { observed }) => sum + observed.count, 0);
    return `${calls} ${COUNTED[kind]}`;
  });
  return texts.join(", ");
}

const STYLES = { denied: "red", allowed: "green", rerouted: "yellow" } as const;

/** A table for people; empty where nothing differs. */
export function flipsText(flips: readonly Flip[], paint: Paint): string {
  if (flips.length === 0) return "";
  const rows = flips.slice(0, SHOWN_MAX).map((flip) => {
    const { kind, observed, before, after } = flip;
    const becomes = kind === "rerouted" ? `${whereTo(before)} → ${whereTo(after)}` : resultText(after);
    return [paint(STYLES[kind], kind), String(observed.count), safeText(flipCallText(flip)), safeText(becomes)];
  });
  const more = flips.length > SHOWN_MAX ? `and ${flips.length - SHOWN_MAX} more kinds of calls: -o json\n` : "";
  return `${table(["would be", "calls", "call", "then"], rows)}${more}`;
}

/** With the template in place of the path that stood for it. */
function flipCallText({ call, observed }: Flip): string {
  const request = observed.path === "" ? "over TCP" : `${observed.method} ${observed.path}`;
  return `${sourceText(call.source)} → ${refOf(call.destination)} ${request}`;
}

/** The same for machines. */
export function flipValue({ kind, observed, before, after }: Flip): unknown {
  return {
    kind,
    source: observed.source,
    destination: observed.destination,
    method: observed.method,
    path: observed.path,
    calls: observed.count,
    decisions: observed.decisions,
    before: { result: resultText(before), to: whereTo(before) },
    after: { result: resultText(after), to: whereTo(after), obstacle: after.obstacle ?? null },
  };
}
