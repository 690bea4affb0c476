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
/** Points of a ring in all, so that one of thousands of endpoints holds no request up: with fewer each, less even. */
const RING_POINTS_MAX = 131_072;
/** Endpoints that a ring can tell apart: more than any set has. */
const INDEX_BASE = 2 ** 20;
/** As in Envoy: prime, and a hundred times the endpoints that one service is likely to have. */
const MAGLEV_SIZE = 65_537;

/** 32 bits, the same for the same text on every machine. */
export function hashText(text: string): number {
  return Bun.hash.xxHash32(text);
}

/** Karger's ring: each endpoint owns the stretch that ends at each of its points. */
export function buildRing(endpoints: readonly Hashable[]): HashLookup {
  const meanWeight = endpoints.reduce((sum, { weight }) => sum + weight, 0) / endpoints.length;
  const average = pointsOfAverage(endpoints.length);
  const counts = endpoints.map(({ weight }) => Math.max(1, Math.round((average * weight) / meanWeight)));
  // Place and endpoint in one number, which a runtime sorts many times faster than objects.
  const sorted = new Float64Array(counts.reduce((sum, count) => sum + count, 0));
  let filled = 0;
  for (const [index, { key }] of endpoints.entries()) {
    const seed = hashText(key);
    const count = counts[index] ?? 0;
    for (let point = 0; point < count; point++) sorted[filled++] = mixed(seed, point) * INDEX_BASE + index;
  }
  sorted.sort();
  const places = new Uint32Array(sorted.length);
  const owners = new Uint32Array(sorted.length);
  for (let at = 0; at < sorted.length; at++) {
    const both = sorted[at] ?? 0;
    const place = Math.floor(both / INDEX_BASE);
    places[at] = place;
    owners[at] = both - place * INDEX_BASE;
  }
  return (hash, skip) => {
    let low = 0;
    let high = places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((places[middle] ?? 0) < hash) low = middle + 1;
      else high = middle;
    }
    for (let step = 0; step < owners.length; step++) {
      const index = owners[(low + step) % owners.length];
      if (index !== undefined && !skip(index)) return index;
    }
    return undefined;
  };
}

/** Halved until all fit: so that one endpoint more or less hardly ever moves the points of all others. */
function pointsOfAverage(endpoints: number): number {
  let points = POINTS_PER_ENDPOINT;
  while (points > 1 && points * endpoints > RING_POINTS_MAX) points = Math.ceil(points / 2);
  return points;
}

/** A point of the endpoint with this hash: the finaliser of MurmurHash3, over steps of the golden ratio. */
function mixed(seed: number, point: number): number {
  let bits = (seed + Math.imul(point, 0x9e37_79b9)) | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85eb_ca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2_ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** Maglev (Eisenbud et al., NSDI 2016, §3.4): each endpoint takes table entries in turn, by its own permutation. */
export function buildMaglev(endpoints: readonly Hashable[]): HashLookup {
  const table = new Int32Array(MAGLEV_SIZE).fill(-1);
  const maxWeight = endpoints.reduce((most, { weight }) => Math.max(most, weight), 0);
  const next = Uint32Array.from(endpoints, ({ key }) => hashText(`${key}#offset`) % MAGLEV_SIZE);
  const step = Uint32Array.from(endpoints, ({ key }) => (hashText(`${key}#skip`) % (MAGLEV_SIZE - 1)) + 1);
  const share = Float64Array.from(endpoints, ({ weight }) => weight / maxWeight);
  const due = new Float64Array(endpoints.length);
  // Arrays of numbers, walked by index: this is done between two requests.
  for (let filled = 0; filled < MAGLEV_SIZE && endpoints.length > 0; ) {
    for (let index = 0; index < endpoints.length && filled < MAGLEV_SIZE; index++) {
      const owed = (due[index] ?? 0) + (share[index] ?? 0);
      due[index] = owed < 1 ? owed : owed - 1;
      if (owed < 1) continue;
      let at = next[index] ?? 0;
      while (table[at] !== -1) at = (at + (step[index] ?? 1)) % MAGLEV_SIZE;
      next[index] = at;
      table[at] = index;
      filled++;
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
