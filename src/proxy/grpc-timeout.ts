/** The deadline that a gRPC caller gives its call (gRPC over HTTP/2, "Timeout": at most eight digits, and a unit). */

const PATTERN = /^(\d{1,8})([HMSmun])$/;

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** From fine to coarse: the first in which a time fits into eight digits says it best. */
const UNITS_OF_USE = [
  ["u", 1e-3],
  ["m", 1],
  ["S", 1_000],
] as const;

const VALUE_MAX = 99_999_999;

/** Milliseconds, fractions included; undefined where the text is no timeout. */
export function parseGrpcTimeout(text: string): number | undefined {
  const [, value, unit = ""] = PATTERN.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  return unitMs === undefined ? undefined : Number(value) * unitMs;
}

/** The text for a time, rounded down, since a callee that gives up late has worked for nobody; at least 1 µs. */
export function formatGrpcTimeout(timeoutMs: number): string {
  for (const [unit, unitMs] of UNITS_OF_USE) {
    const value = Math.floor(timeoutMs / unitMs);
    if (value <= VALUE_MAX) return `${Math.max(1, value)}${unit}`;
  }
  return `${Math.min(VALUE_MAX, Math.floor(timeoutMs / 3_600_000))}H`;
}
