import { edenGC, heapSize } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import { type Chained, ChainedTable } from "../../src/proxy/chained-table.ts";
import { OpenExchanges } from "../../src/proxy/open-exchanges.ts";

class Entry implements Chained<Entry> {
  chained: Entry | undefined;
  /** What a request holds, so that it shows in the heap. */
  readonly held = new Array(100).fill(0.5);
  openAt = -1;

  constructor(readonly hash: number) {}

  review(): void {}
  cutOff(): void {}
}

/** Found by its hash, which these tests give to several on purpose. */
function stands(table: ChainedTable<Entry>, entry: Entry): boolean {
  let found = table.chain(entry.hash);
  while (found !== undefined && found !== entry) found = found.chained;
  return found === entry;
}

describe("a chained table", () => {
  test("holds what a set would, through growth, collisions and deletions in any order", () => {
    const table = new ChainedTable<Entry>();
    const model = new Set<Entry>();
    let seed = 7;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    for (let step = 0; step < 5_000; step++) {
      const known = [...model];
      const one = known[random(Math.max(1, known.length))];
      if (one !== undefined && random(100) < (step < 2_500 ? 40 : 60)) {
        expect(table.delete(one)).toBe(model.delete(one));
        expect(table.delete(one)).toBe(false);
      } else {
        const entry = new Entry(random(64) - 32);
        table.add(entry);
        model.add(entry);
      }
      expect(table.size).toBe(model.size);
    }
    const all = table.all();
    expect(all).toHaveLength(model.size);
    expect(new Set(all)).toEqual(model);
    for (const entry of all) expect(stands(table, entry)).toBe(true);
  });
});

/** Bytes by which the heap grows while requests come and go, where only young objects are collected; in a `Set`, 8 MB. */
function growthOf(add: (entry: Entry) => void, remove: (entry: Entry) => void): number {
  const open: Entry[] = [];
  const comeAndGo = (requests: number): void => {
    for (let index = 0; index < requests; index++) {
      const entry = new Entry(index);
      add(entry);
      const oldest = open[index % 64];
      if (oldest !== undefined) remove(oldest);
      open[index % 64] = entry;
    }
  };
  comeAndGo(1_000);
  edenGC();
  const beforeBytes = heapSize();
  for (let round = 0; round < 20; round++) {
    comeAndGo(1_000);
    edenGC();
  }
  return heapSize() - beforeBytes;
}

describe("requests that are over do not outlive a collection of young objects", () => {
  const BYTES_MAX = 4_000_000;

  test("in a chained table", () => {
    const table = new ChainedTable<Entry>();
    expect(growthOf(table.add.bind(table), table.delete.bind(table))).toBeLessThan(BYTES_MAX);
  });

  test("among open exchanges", () => {
    const exchanges = new OpenExchanges();
    expect(growthOf(exchanges.add.bind(exchanges), exchanges.delete.bind(exchanges))).toBeLessThan(BYTES_MAX);
    expect(exchanges.size).toBe(64);
  });
});
