/**
 * Latencies as counts in buckets whose bounds grow by a constant factor: any quantile is known to within 10%, two
 * sketches add up to the sketch of both, and one is no larger than the spread of what was measured (the idea of
 * DDSketch, VLDB 2019, §2).
 */

/** Quarters of an octave: neighbouring bounds are 19% apart, and the middle of a bucket at most 9% from any of it. */
const BUCKETS_PER_OCTAVE = 4;
/** The bound of bucket 0, in milliseconds: nothing in a mesh is told apart below it. */
const FIRST_BOUND_MS = 0.1;
/** The last bucket holds everything above half an hour. */
export const LATENCY_BUCKET_MAX = 96;

/** Buckets that have any, in order, each followed by its count: how a sketch travels. */
export type LatencyCounts = readonly number[];

export class LatencySketch {
  readonly #counts = new Map<number, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** Milliseconds. */
  observe(durationMs: number): void {
    this.#add(bucketOf(durationMs), 1);
  }

  merge(counts: LatencyCounts): void {
    for (let at = 0; at + 1 < counts.length; at += 2) {
      this.#add(Math.min(counts[at] ?? 0, LATENCY_BUCKET_MAX), counts[at + 1] ?? 0);
    }
  }

  counts(): number[] {
    return this.#inOrder().flat();
  }

  /** Milliseconds below which the part `q`, from 0 to 1, of all lies; undefined where nothing was measured. */
  quantile(q: number): number | undefined {
    if (this.#total === 0) return undefined;
    const rank = Math.max(1, Math.ceil(q * this.#total));
    let seen = 0;
    for (const [bucket, count] of this.#inOrder()) {
      seen += count;
      if (seen >= rank) return middleOf(bucket);
    }
    return middleOf(LATENCY_BUCKET_MAX);
  }

  /** The part, from 0 to 1, that took longer than so many milliseconds; 0 where nothing was measured. */
  shareAbove(durationMs: number): number {
    let above = 0;
    for (const [bucket, count] of this.#counts) if (middleOf(bucket) > durationMs) above += count;
    return this.#total === 0 ? 0 : above / this.#total;
  }

  #inOrder(): [bucket: number, count: number][] {
    return [...this.#counts].sort(([a], [b]) => a - b);
  }

  #add(bucket: number, count: number): void {
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + count);
    this.#total += count;
  }
}

function bucketOf(durationMs: number): number {
  if (!(durationMs > FIRST_BOUND_MS)) return 0;
  return Math.min(LATENCY_BUCKET_MAX, Math.ceil(Math.log2(durationMs / FIRST_BOUND_MS) * BUCKETS_PER_OCTAVE));
}

/** In the geometric sense, between the bounds of the bucket. */
function middleOf(bucket: number): number {
  return FIRST_BOUND_MS * 2 ** ((bucket - 0.5) / BUCKETS_PER_OCTAVE);
}
