/** One text per value: what digests are taken over and what equality compares. */

/**
 * Canonical JSON in the manner of RFC 8785: members sorted by UTF-16 code units, no white space, members that are
 * `undefined` left out. Two values are the same to the mesh exactly when their canonical JSON is.
 *
 * Throws `TypeError` for what JSON cannot carry faithfully (NaN, a bigint, a function, a Map, a Date …): such a value
 * would silently share its digest with another one.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) return canonicalObject(value);
  if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${value} has no canonical JSON`);
  const text: string | undefined = typeof value === "bigint" ? undefined : JSON.stringify(value);
  if (text === undefined) throw new TypeError(`a ${typeof value} has no canonical JSON`);
  return text;
}

/** Whether two values are the same to the mesh; `undefined` stands for an absent one. */
export function sameValue(left: unknown, right: unknown): boolean {
  if (left === undefined || right === undefined) return left === right;
  return canonicalJson(left) === canonicalJson(right);
}

function canonicalObject(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`a ${value.constructor.name} has no canonical JSON`);
  }
  const members: string[] = [];
  for (const [name, member] of Object.entries(value).sort(byName)) {
    if (member !== undefined) members.push(`${JSON.stringify(name)}:${canonicalJson(member)}`);
  }
  return `{${members.join(",")}}`;
}

function byName([left]: [string, unknown], [right]: [string, unknown]): number {
  return left < right ? -1 : 1;
}
