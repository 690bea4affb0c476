/**
 * Consistent hashing: requests with the same key go to the same endpoint, and when endpoints come or go, most keys stay
 * where they were. Both tables are built once per set of endpoints.
 */

/** One endpoint in a table. */
export interface Hashable {
  /** Tells it from all others, and is the same in every sidecar. */
  readonly key: string;
  /** Its share, compared with the others': above 0. */
  readonly weight: number;
}

/** The index of the endpoint for a hash; `skip` those that cannot be taken. Undefined where all are skipped. */
export type HashLookup = (hash: number, skip: (index: number) => boolean) => number | undefined;

/** Points of an endpoint of average weight on the ring; more make shares more even. */
const POINTS_PER_ENDPOINT = 160;
/** As in Envoy: prime, and a hundred times the endpoints that one service is likely to have. */
const MAGLEV_SIZE = 65_537;

/** 32 bits, the same for the same text on every machine. */
export function hashText(text: string): number {
  return Bun.hash.xxHash32(text);
}

/** Karger's ring: each endpoint owns the stretch that ends at each of its points. */
export function buildRing(endpoints: readonly Hashable[]): HashLookup {
  const meanWeight = endpoints.reduce((sum, { weight }) => sum + weight, 0) / endpoints.length;
  const points = endpoints.flatMap(({ key, weight }, index) =>
    Array.from({ length: Math.max(1, Math.round((POINTS_PER_ENDPOINT * weight) / meanWeight)) }, (_, point) => ({
      at: hashText(`${key}_${point}`),
      index,
    })),
  );
  points.sort((a, b) => a.at - b.at || a.index - b.index);
  return (hash, skip) => {
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((points[middle]?.at ?? 0) < hash) low = middle + 1;
      else high = middle;
    }
    for (let step = 0; step < points.length; step++) {
      const index = points[(low + step) % points.length]?.index;
      if (index !== undefined && !skip(index)) return index;
    }
    return undefined;
  };
}

/** Maglev (Eisenbud et al., NSDI 2016, §3.4): each endpoint takes table entries in turn, by its own permutation. */
export function buildMaglev(endpoints: readonly Hashable[]): HashLookup {
  const table = new Int32Array(MAGLEV_SIZE).fill(-1);
  const maxWeight = endpoints.reduce((most, { weight }) => Math.max(most, weight), 0);
  const rows = endpoints.map(({ key, weight }) => ({
    next: hashText(`${key}#offset`) % MAGLEV_SIZE,
    skip: (hashText(`${key}#skip`) % (MAGLEV_SIZE - 1)) + 1,
    share: weight / maxWeight,
    due: 0,
  }));
  for (let filled = 0; filled < MAGLEV_SIZE && rows.length > 0; ) {
    for (const [index, row] of rows.entries()) {
      row.due += row.share;
      if (row.due < 1) continue;
      row.due -= 1;
      while (table[row.next] !== -1) row.next = (row.next + row.skip) % MAGLEV_SIZE;
      table[row.next] = index;
      if (++filled === MAGLEV_SIZE) break;
    }
  }
  return (hash, skip) => {
    // Whoever loses its endpoint is spread over all others, not heaped on a neighbour.
    let at = hash;
    for (let step = 0; step < 4 * endpoints.length; step++) {
      const index = table[at % MAGLEV_SIZE] ?? -1;
      if (index >= 0 && !skip(index)) return index;
      at = hashText(`${hash}/${step}`);
    }
    const left = endpoints.findIndex((_, index) => !skip(index));
    return left < 0 ? undefined : left;
  };
}
