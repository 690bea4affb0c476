/** Percentiles as documents write them, such as `{ p50: 10ms, p99: 500ms }`. */

/** `p` and a percentage above 0 with at most two decimals. */
export const PERCENTILE_NAME = /^p(?!0+(?:\.0+)?$)(?:100|\d{1,2}(?:\.\d{1,2})?)$/;

/** Percentiles sorted by rank. @param named by names that match `PERCENTILE_NAME` */
export function byRank<T>(named: Readonly<Record<string, T>>): { readonly percentile: number; readonly value: T }[] {
  return Object.entries(named)
    .map(([name, value]) => ({ percentile: Number(name.slice(1)), value }))
    .sort((a, b) => a.percentile - b.percentile);
}
