/**
 * Turns a composed YAML document into plain values and remembers where each of them stood. Written out, not
 * `toJS()`: positions, duplicate names, aliases and hostile names are all decided here, in one walk.
 */

import { isAlias, isMap, isScalar, isSeq, type Node, type ParsedNode, type YAMLMap, type YAMLSeq } from "yaml";
import type { DocumentPath } from "./remark.ts";

/** Values that the aliases of one document may add to it: enough for a thousand rules that share their retries. */
const ALIASED_VALUES_MAX = 100_000;

/** Where a value stands, as offsets into the text it was composed from. */
export interface Place {
  readonly start: number;
  /** Where the name of the value stands, for a field. */
  readonly key?: number;
  /** By field name or index, for a map or a list. */
  readonly children?: ReadonlyMap<string | number, Place>;
  /** Nothing was written: `timeout:`. Its start is then of no use to a reader. */
  readonly empty?: true;
}

/** Something wrong with the text itself, at an offset into it. */
export interface Fault {
  readonly offset: number;
  readonly message: string;
  readonly hint?: string;
  /** What it clashes with, further up. */
  readonly earlier?: number;
}

export interface Tree {
  readonly value: unknown;
  readonly place: Place;
  /** Values in the tree, itself included: what another alias to it would cost. */
  readonly size: number;
}

/** Reads a document's root node; what is wrong goes to `faults`, and the value then leaves it out. */
export function readTree(root: ParsedNode, faults: Fault[]): Tree {
  return new TreeReader(faults).read(root);
}

/** The closest place that exists on the way to a value, which is its parent's for a field that is missing. */
export function findPlace(root: Place, path: DocumentPath): Place {
  let place = root;
  for (const segment of path) {
    const child = place.children?.get(segment);
    if (child === undefined) return place;
    place = child;
  }
  return place;
}

/** What a reader should look at: a scalar itself, but the name of a field that holds a map, a list or nothing. */
export function offsetOf(place: Place): number {
  return place.children === undefined && place.empty === undefined ? place.start : (place.key ?? place.start);
}

/** The nesting of calls is bounded by that of the text, and of aliases by `ALIASED_VALUES_MAX`. */
class TreeReader {
  /** Trees that are complete: an alias inside its own anchor finds nothing, so there are no cycles. */
  readonly #anchors = new Map<string, Tree>();
  #aliasedValues = 0;

  constructor(private readonly faults: Fault[]) {}

  read(node: Node | null): Tree {
    if (isAlias(node)) return this.#alias(node.source, node.range?.[0] ?? 0);
    const start = node?.range?.[0] ?? 0;
    let tree: Tree;
    if (isMap(node)) tree = this.#map(node, start);
    else if (isSeq(node)) tree = this.#list(node, start);
    else if (isScalar(node) && node.source !== "") tree = { value: node.value, place: { start }, size: 1 };
    else tree = { value: isScalar(node) ? node.value : null, place: { start, empty: true }, size: 1 };
    if (node?.anchor !== undefined) this.#anchors.set(node.anchor, tree);
    return tree;
  }

  #map(node: YAMLMap, start: number): Tree {
    const fields = new Map<string, unknown>();
    const children = new Map<string, Place>();
    let size = 1;
    for (const { key, value } of node.items) {
      // Composed with `stringKeys`, so every other key has been reported already.
      if (!isScalar(key) || typeof key.value !== "string") continue;
      const name = key.value;
      const keyOffset = key.range?.[0] ?? start;
      const tree = this.read(isNode(value) ? value : null);
      const plain = key.type === "PLAIN";
      if (!this.#accepts(name, plain, keyOffset, children.get(name))) continue;
      fields.set(name, tree.value);
      children.set(name, { ...tree.place, key: keyOffset });
      size += tree.size;
    }
    return { value: Object.fromEntries(fields), place: { start, children }, size };
  }

  #accepts(name: string, plain: boolean, offset: number, earlier: Place | undefined): boolean {
    if (name === "__proto__") {
      this.faults.push({ offset, message: "`__proto__` cannot be a name" });
    } else if (name === "<<" && plain) {
      const hint = "write the fields out, or let an alias stand for a whole value";
      this.faults.push({ offset, message: "merge keys (`<<`) are not part of YAML 1.2", hint });
    } else if (earlier !== undefined) {
      const message = `\`${name}\` is given twice`;
      this.faults.push({ offset, message, hint: "keep one of the two", earlier: earlier.key ?? earlier.start });
    } else {
      return true;
    }
    return false;
  }

  #list(node: YAMLSeq, start: number): Tree {
    const values: unknown[] = [];
    const children = new Map<number, Place>();
    let size = 1;
    for (const [index, item] of node.items.entries()) {
      const tree = this.read(isNode(item) ? item : null);
      values.push(tree.value);
      children.set(index, tree.place);
      size += tree.size;
    }
    return { value: values, place: { start, children }, size };
  }

  #alias(name: string, offset: number): Tree {
    const nothing: Tree = { value: null, place: { start: offset }, size: 1 };
    const target = this.#anchors.get(name);
    if (target === undefined) {
      const hint = `write &${name} before the value that it stands for`;
      this.faults.push({ offset, message: `*${name} refers to no earlier anchor in this document`, hint });
      return nothing;
    }
    const withinBounds = this.#aliasedValues <= ALIASED_VALUES_MAX;
    this.#aliasedValues += target.size;
    if (this.#aliasedValues <= ALIASED_VALUES_MAX) return { ...target, place: { ...target.place, start: offset } };
    if (withinBounds) {
      const message = `aliases add more than ${ALIASED_VALUES_MAX} values to this document`;
      this.faults.push({ offset, message, hint: "write the values out" });
    }
    return nothing;
  }
}

function isNode(item: unknown): item is Node {
  return isScalar(item) || isMap(item) || isSeq(item) || isAlias(item);
}
