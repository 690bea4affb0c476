/** Durations in policy: `800ms`, `3s`, `1m30s`, `2h`. Kept as canonical text in documents, as integers in snapshots. */

const UNITS = [
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
] as const;

const PATTERN = /^(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?$/;

/** Milliseconds, or undefined when the text is no duration. Zero is a duration; signs and fractions are not. */
export function parseDuration(text: string): number | undefined {
  if (text === "") return undefined;
  const parts = PATTERN.exec(text);
  if (parts === null) return undefined;
  let totalMs = 0;
  for (const [index, [, unitMs]] of UNITS.entries()) totalMs += Number(parts[index + 1] ?? 0) * unitMs;
  return Number.isSafeInteger(totalMs) ? totalMs : undefined;
}

/** The one canonical text of a duration, so that `60s` and `1m` are the same document. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return "0s";
  let rest = durationMs;
  let text = "";
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(rest / unitMs);
    rest -= count * unitMs;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
}
