/**
 * JSON of which nothing is known yet: how it is read before a schema looks at it, and how its objects are looked into.
 */

export type JsonRecord = Readonly<Record<string, unknown>>;

/**
 * What a text holds, for a schema to judge; undefined where it is not JSON, or its bytes are not UTF-8 (RFC 8259, 8.1).
 */
export function parseJson(text: Uint8Array | string): unknown {
  try {
    return JSON.parse(typeof text === "string" ? text : new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    return undefined;
  }
}

/** An object of JSON: no array, not null. */
export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A field that the record has itself: one called `constructor` is no different from others. */
export function ownField(record: JsonRecord, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** Whether two values that come of JSON say the same; the order of members says nothing. */
export function isSameJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((one, at) => isSameJson(one, right[at]));
  }
  if (!isRecord(left) || !isRecord(right)) return false;
  let more = 0;
  for (const name in left) {
    if (!Object.hasOwn(right, name) || !isSameJson(left[name], right[name])) return false;
    more++;
  }
  for (const _ in right) more--;
  return more === 0;
}
