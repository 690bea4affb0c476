/** The smallest edit from one list to another, as removals and insertions. */

import { canonicalJson } from "../policy/canonical.ts";

/** An edit script; see `listDiff`. */
export interface ListDiff {
  /** Indexes in the old list, highest first, so that each still holds when its turn comes. */
  readonly removals: readonly number[];
  /** Indexes in the new list, lowest first, to be inserted after all removals. */
  readonly insertions: readonly number[];
}

/**
 * By longest common subsequence. Time and memory follow the product of the lengths of what remains once the common
 * beginning and end are set aside; documents hold at most 1,024 rules.
 */
export function listDiff(before: readonly string[], after: readonly string[]): ListDiff {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let beforeEnd = before.length;
  let afterEnd = after.length;
  while (beforeEnd > start && afterEnd > start && before[beforeEnd - 1] === after[afterEnd - 1]) {
    beforeEnd -= 1;
    afterEnd -= 1;
  }
  const middle = editMiddle(before.slice(start, beforeEnd), after.slice(start, afterEnd));
  return {
    removals: middle.removals.map((index) => index + start).reverse(),
    insertions: middle.insertions.map((index) => index + start),
  };
}

/**
 * For each item of the new list, the index of the old one that it is, unchanged or changed; undefined for a new one. Of
 * a stretch that was written anew, the first of the old items are the first of the new ones.
 */
export function itemsReplaced(before: readonly unknown[], after: readonly unknown[]): (number | undefined)[] {
  const { removals, insertions } = listDiff(before.map(canonicalJson), after.map(canonicalJson));
  const [gone, come] = [new Set(removals), new Set(insertions)];
  const from: (number | undefined)[] = [];
  let old = 0;
  for (const index of after.keys()) {
    if (come.has(index)) {
      from.push(gone.has(old) ? old++ : undefined);
      continue;
    }
    while (gone.has(old)) old += 1;
    from.push(old++);
  }
  return from;
}

/** Both lists of indexes ascending. */
function editMiddle(before: readonly string[], after: readonly string[]): { removals: number[]; insertions: number[] } {
  const width = after.length + 1;
  // At [row, column]: the length of the longest common subsequence of what follows from there on.
  const lengths = new Uint32Array((before.length + 1) * width);
  const at = (row: number, column: number): number => lengths[row * width + column] ?? 0;
  for (let row = before.length - 1; row >= 0; row--) {
    for (let column = after.length - 1; column >= 0; column--) {
      const same = before[row] === after[column];
      lengths[row * width + column] = same
        ? at(row + 1, column + 1) + 1
        : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const removals: number[] = [];
  const insertions: number[] = [];
  let row = 0;
  let column = 0;
  while (row < before.length || column < after.length) {
    if (row < before.length && column < after.length && before[row] === after[column]) {
      row += 1;
      column += 1;
    } else if (column >= after.length || (row < before.length && at(row + 1, column) >= at(row, column + 1))) {
      removals.push(row++);
    } else {
      insertions.push(column++);
    }
  }
  return { removals, insertions };
}
