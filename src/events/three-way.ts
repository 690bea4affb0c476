/**
 * Three-way merge of plain values: what one side made of a base, on top of what the other side made of it. Differences
 * that touch different places both stand; where both sides changed one place, and not alike, there is a conflict.
 */

import { canonicalJson, sameValue } from "../policy/canonical.ts";
import { isRecord, type JsonRecord, ownField } from "../policy/json.ts";
import { itemsReplaced } from "./list-diff.ts";

type Path = readonly (string | number)[];

/** The outcome of a merge. */
export interface Merge {
  /** What it comes to; `theirs` at every conflict. */
  readonly value: unknown;
  /** Places in `theirs` that both sides changed. */
  readonly conflicts: readonly Path[];
}

export interface MergeOptions {
  /** Whether the order of the list at a path means something: then two insertions at one place are a conflict. */
  readonly isOrdered?: (path: Path) => boolean;
}

/** Undefined stands for an absent value. */
export function mergeThreeWay(base: unknown, mine: unknown, theirs: unknown, options: MergeOptions = {}): Merge {
  const conflicts: Path[] = [];
  const merger = new Merger(options, conflicts);
  return { value: merger.merge([], base, mine, theirs), conflicts };
}

class Merger {
  constructor(
    private readonly options: MergeOptions,
    private readonly conflicts: Path[],
  ) {}

  merge(path: Path, base: unknown, mine: unknown, theirs: unknown): unknown {
    if (sameValue(base, theirs)) return mine;
    if (sameValue(base, mine) || sameValue(mine, theirs)) return theirs;
    if (isRecord(mine) && isRecord(theirs) && isRecord(base)) return this.#mergeRecords(path, base, mine, theirs);
    if (Array.isArray(base) && Array.isArray(mine) && Array.isArray(theirs)) {
      return this.#mergeLists(path, base, mine, theirs);
    }
    return this.#conflict(path, theirs);
  }

  #mergeRecords(path: Path, base: JsonRecord, mine: JsonRecord, theirs: JsonRecord): unknown {
    const merged: Record<string, unknown> = {};
    for (const name of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
      const value = this.merge([...path, name], ownField(base, name), ownField(mine, name), ownField(theirs, name));
      if (value !== undefined) merged[name] = value;
    }
    return merged;
  }

  /** Items are followed by what they say, so that others coming and going around them does no harm. */
  #mergeLists(path: Path, base: readonly unknown[], mine: readonly unknown[], theirs: readonly unknown[]): unknown[] {
    const mineFrom = itemsReplaced(base, mine);
    const theirsFrom = itemsReplaced(base, theirs);
    const merged: { readonly from: number | undefined; readonly value: unknown }[] = [];
    for (const [index, item] of theirs.entries()) {
      const from = theirsFrom[index];
      const inMine = from === undefined ? -1 : mineFrom.indexOf(from);
      if (from === undefined) merged.push({ from, value: item });
      else if (inMine >= 0) merged.push({ from, value: this.merge([...path, index], base[from], mine[inMine], item) });
      else if (!sameValue(base[from], item)) merged.push({ from, value: this.#conflict([...path, index], item) });
    }
    for (const [from, item] of base.entries()) {
      if (theirsFrom.includes(from)) continue;
      const inMine = mineFrom.indexOf(from);
      if (inMine >= 0 && !sameValue(mine[inMine], item)) this.#conflict(path, undefined);
    }
    this.#insertMine(path, merged, mine, mineFrom);
    return merged.map(({ value }) => value);
  }

  /** What mine brought stands behind the same item as it did there, unless theirs brought it as well. */
  #insertMine(
    path: Path,
    merged: { readonly from: number | undefined; readonly value: unknown }[],
    mine: readonly unknown[],
    mineFrom: readonly (number | undefined)[],
  ): void {
    const known = new Set(merged.filter(({ from }) => from === undefined).map(({ value }) => canonicalJson(value)));
    let at = 0;
    for (const [index, item] of mine.entries()) {
      const from = mineFrom[index];
      if (from !== undefined) {
        const stands = merged.findIndex((entry) => entry.from === from);
        if (stands >= 0) at = stands + 1;
        continue;
      }
      if (known.has(canonicalJson(item))) continue;
      const next = merged[at];
      if (next !== undefined && next.from === undefined && this.options.isOrdered?.(path) === true) {
        this.#conflict([...path, at], undefined);
      }
      merged.splice(at++, 0, { from: Number.NaN, value: item });
    }
  }

  #conflict(path: Path, theirs: unknown): unknown {
    this.conflicts.push(path);
    return theirs;
  }
}
