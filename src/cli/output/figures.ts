/** Figures, as people read them. */

/** Of a ratio: at most one decimal. */
export function percent(ratio: number): string {
  return `${Math.round(ratio * 1_000) / 10}%`;
}

/** A dash where there is none. */
export function milliseconds(value: number | undefined): string {
  if (value === undefined) return "-";
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}
