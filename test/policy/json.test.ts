/** JSON of which nothing is known yet. */

import { expect, test } from "bun:test";
import { isRecord, isSameJson, ownField, parseJson } from "../../src/policy/json.ts";

test("reads text and bytes alike", () => {
  expect(parseJson('{"a":"ä"}')).toEqual({ a: "ä" });
  expect(parseJson(new TextEncoder().encode('{"a":"ä"}'))).toEqual({ a: "ä" });
});

test.each([
  ["nothing", ""],
  ["half an object", '{"a":'],
  ["bytes that are no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
])("%s is no JSON", (_, text) => {
  expect(parseJson(text)).toBeUndefined();
});

test("lists, null and plain values are no records", () => {
  expect([{}, [], null, "text", 1].map(isRecord)).toEqual([true, false, false, false, false]);
});

test("a record has the fields that were written, and none by inheritance", () => {
  expect(ownField({ a: 1 }, "a")).toBe(1);
  expect(ownField({}, "constructor")).toBeUndefined();
});

test.each([
  [1, 1, true],
  [1, "1", false],
  [null, {}, false],
  [{}, [], false],
  [[1, [2]], [1, [2]], true],
  [[1, 2], [1], false],
  [[1], { 0: 1, length: 1 }, false],
  [{ a: 1, b: { c: [] } }, { b: { c: [] }, a: 1 }, true],
  [{ a: 1 }, { a: 1, b: 1 }, false],
  [{ a: 1, b: 1 }, { a: 1 }, false],
  [{ a: undefined }, { b: undefined }, false],
  [JSON.parse('{"__proto__":1}'), {}, false],
  [JSON.parse('{"constructor":{}}'), {}, false],
])("%j and %j say the same: %p", (left: unknown, right: unknown, isSame) => {
  expect([isSameJson(left, right), isSameJson(right, left)]).toEqual([isSame, isSame]);
});
