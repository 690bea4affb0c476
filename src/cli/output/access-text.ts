/** Which calls became possible and which stopped, for people. */

import type { AccessDifference } from "../../replay/access-diff.ts";
import type { Paint } from "./output.ts";
import { safeText } from "./safe-text.ts";

/** Lines of each list; `-o json` has them all. */
const LINES_MAX = 200;

/** Empty where no call is concerned. */
export function accessText(differences: readonly AccessDifference[], paint: Paint): string {
  const [stopped, started] = [
    section(
      "calls that stop being possible",
      "-",
      differences.filter(({ change }) => change === "stopped"),
    ),
    section(
      "calls that become possible",
      "+",
      differences.filter(({ change }) => change === "started"),
    ),
  ];
  return [
    ...stopped.map((line, index) => paint(index === 0 ? "bold" : "red", line)),
    ...started.map((line, index) => paint(index === 0 ? "bold" : "green", line)),
  ]
    .map((line) => `${line}\n`)
    .join("");
}

function section(head: string, mark: string, differences: readonly AccessDifference[]): string[] {
  if (differences.length === 0) return [];
  const lines = differences.flatMap(({ caller, service, words }) =>
    words.map((calls) => `  ${mark} ${safeText(`${caller} → ${service}`)} ${safeText(calls)}`),
  );
  const rest = lines.length - LINES_MAX;
  return [head, ...lines.slice(0, LINES_MAX), ...(rest > 0 ? [`  and ${rest} more`] : [])];
}
